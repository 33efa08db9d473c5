// Which window buffers may lie in the same memory: those of which no op of a step needs both.
#pragma once

#include <vector>

#include "engine/flow.h"

namespace nengo_dl {

struct Sharing {
  std::vector<int64_t> place;  // per buffer: which place it shares with others; -1: it has its own memory
  std::vector<int64_t> sizes;  // per place: elements per row and item

  // `unwritten`: buffers that a step may read before it writes them, which keep their memory to themselves.
  Sharing(const Program& program, const Flow& flow, const std::vector<char>& unwritten);
  // Elements per step and item of all carried and window buffers.
  int64_t row_size(const Program& program) const;
};

}  // namespace nengo_dl
