// Which window buffers may lie in the same memory: those of which no unit of a step needs both.
#pragma once

#include <vector>

#include "engine/facts.h"
#include "engine/fusion.h"

namespace nengo_dl {

struct Sharing {
  std::vector<int64_t> place;  // per buffer: which place it shares with others; -1: it has its own memory
  std::vector<int64_t> sizes;  // per place: elements per row and item

  // Buffers that a step may read before it writes them keep their memory to themselves.
  Sharing(const Facts& facts, const std::vector<std::vector<Unit>>& units);
  // Elements per step and item of all carried and window buffers but those `elsewhere`.
  int64_t row_size(const Program& program, const std::vector<char>& elsewhere) const;
  // The same per place that is shared.
  std::vector<int64_t> sizes_of(const Program& program, const std::vector<char>& elsewhere) const;
};

}  // namespace nengo_dl
