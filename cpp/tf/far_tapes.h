// Tapes whose memory the host can't read: what goes through TensorFlow in their place is a number.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/engine.h"

namespace nengo_dl {

// A tape and the number by which it is found as long as this lives.
class FarTape {
 public:
  explicit FarTape(std::shared_ptr<Tape> tape);
  ~FarTape();
  FarTape(FarTape&& other) noexcept;
  FarTape(const FarTape&) = delete;
  FarTape& operator=(const FarTape&) = delete;

  const int64_t& number() const { return *number_; }

 private:
  std::unique_ptr<int64_t> number_;  // stays where it is when this is moved
  std::shared_ptr<Tape> tape_;
};

std::shared_ptr<Tape> find_far_tape(int64_t number);  // null: there is none (any more)

}  // namespace nengo_dl
