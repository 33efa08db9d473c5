#include "engine/bound.h"

#include <map>
#include <mutex>
#include <stdexcept>
#include <string>

namespace nengo_dl {
namespace {

struct OnTheWay {
  std::mutex lock;
  std::map<int64_t, std::shared_ptr<const BoundProgram>> entries;
  int64_t next = 0;
};
OnTheWay& on_the_way() {
  static OnTheWay* t = new OnTheWay;  // never destroyed: entries may hold variables of TensorFlow
  return *t;
}

}  // namespace

int64_t hand_over(std::shared_ptr<const BoundProgram> bound) {
  OnTheWay& t = on_the_way();
  std::lock_guard<std::mutex> hold(t.lock);
  t.entries[t.next] = std::move(bound);
  return t.next++;
}

std::shared_ptr<const BoundProgram> take_over(int64_t number) {
  OnTheWay& t = on_the_way();
  std::lock_guard<std::mutex> hold(t.lock);
  const auto it = t.entries.find(number);
  if (it == t.entries.end()) throw std::out_of_range("no bound program has the number " + std::to_string(number));
  std::shared_ptr<const BoundProgram> bound = std::move(it->second);
  t.entries.erase(it);
  return bound;
}

}  // namespace nengo_dl
