#include "tf/far_tapes.h"

#include "engine/numbered.h"

namespace nengo_dl {
namespace {

Numbered<std::weak_ptr<Tape>>& tapes() {
  static auto* const all = new Numbered<std::weak_ptr<Tape>>;  // never destroyed: tensors may live until the end
  return *all;
}

}  // namespace

FarTape::FarTape(std::shared_ptr<Tape> tape)
    : number_(std::make_unique<int64_t>(tapes().add(tape))), tape_(std::move(tape)) {}

FarTape::FarTape(FarTape&& other) noexcept = default;

FarTape::~FarTape() {
  if (number_) tapes().take(*number_);
}

std::shared_ptr<Tape> find_far_tape(int64_t number) { return tapes().find(number).lock(); }

}  // namespace nengo_dl
