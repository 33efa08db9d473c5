#include "tf/far_tapes.h"

#include <map>
#include <mutex>

namespace nengo_dl {
namespace {

struct Numbered {
  std::mutex lock;
  std::map<int64_t, std::weak_ptr<Tape>> tapes;
  int64_t next = 0;
};
Numbered& numbered() {
  static auto* all = new Numbered;  // never destroyed: tensors may live until the process ends
  return *all;
}

}  // namespace

FarTape::FarTape(std::shared_ptr<Tape> tape) : tape_(std::move(tape)) {
  Numbered& all = numbered();
  std::lock_guard<std::mutex> hold(all.lock);
  number_ = std::make_unique<int64_t>(all.next++);
  all.tapes[*number_] = tape_;
}

FarTape::FarTape(FarTape&& other) noexcept = default;

FarTape::~FarTape() {
  if (!number_) return;
  Numbered& all = numbered();
  std::lock_guard<std::mutex> hold(all.lock);
  all.tapes.erase(*number_);
}

std::shared_ptr<Tape> find_far_tape(int64_t number) {
  Numbered& all = numbered();
  std::lock_guard<std::mutex> hold(all.lock);
  const auto it = all.tapes.find(number);
  return it == all.tapes.end() ? nullptr : it->second.lock();
}

}  // namespace nengo_dl
