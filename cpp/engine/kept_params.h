// Parameters in a space that the host can't read: they stay there from run to run, with a copy on the host of the
// values that were sent. What equals its copy is not sent again. To compare takes a part of the time of sending, and is
// right whoever writes to the arrays of the host, in place or not: an optimizer, another run, the user.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/engine.h"
#include "engine/space.h"

namespace nengo_dl {

// Per parameter, in the program's order of its elements; null if it is learned: a run brings those of its items.
using SentParams = std::vector<std::shared_ptr<void>>;

template <class T>
class KeptParams {
 public:
  KeptParams(Space& space, const Program& program) : space_(space), program_(program), slots_(program.params.size()) {}

  // The parameters of a run, which no later call changes; none if the backend can reach those of the caller. Those that
  // are `trained` (by number) are not kept: each step of a training changes them, and the copy would be made in vain.
  // Safe to call from several threads at once.
  SentParams send(const RunArgs<T>& args, const std::function<bool(size_t)>& trained) const;

 private:
  struct Slot {
    Memory<T> values;             // that were sent, as outside; its memory is used again for others
    std::shared_ptr<void> there;  // null: nothing is kept
  };

  std::shared_ptr<void> send(const Param& param, const T* host, Slot* slot, bool trained, int threads) const;
  std::shared_ptr<void> send(const Param& param, const T* host) const;

  Space& space_;
  const Program& program_;
  mutable std::mutex lock_;
  mutable std::vector<Slot> slots_;
};

}  // namespace nengo_dl
