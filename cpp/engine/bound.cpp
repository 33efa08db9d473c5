#include "engine/bound.h"

#include <stdexcept>
#include <string>

#include "engine/numbered.h"

namespace nengo_dl {
namespace {

using OnTheWay = Numbered<std::shared_ptr<const BoundProgram>>;

OnTheWay& on_the_way() {
  static auto* const programs = new OnTheWay;  // never destroyed: it may hold variables of TensorFlow
  return *programs;
}

}  // namespace

int64_t hand_over(std::shared_ptr<const BoundProgram> bound) { return on_the_way().add(std::move(bound)); }

std::shared_ptr<const BoundProgram> take_over(int64_t number) {
  std::shared_ptr<const BoundProgram> bound = on_the_way().take(number);
  if (!bound) throw std::out_of_range("no bound program has the number " + std::to_string(number));
  return bound;
}

}  // namespace nengo_dl
