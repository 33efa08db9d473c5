// How the rows of steps and items that an op runs over are handed to kernels.
#pragma once

#include <cstdint>

#include "engine/kernel.h"

namespace nengo_dl {

// Rows that lie at one distance from each other: `count` of them from step t and item b on, along steps or items or
// both. f(t, b, count, along_steps) for all of them; `together`: the rows of all operands go on at one distance from
// the items of a step to those of the next.
template <class F>
void each_row_line(int64_t t0, int64_t t1, int64_t items, bool together, bool along_steps, F&& f) {
  const int64_t steps = t1 - t0;
  if (together || steps == 1)
    f(t0, int64_t{0}, steps * items, false);
  else if (items == 1 || along_steps)
    for (int64_t b = 0; b < items; ++b) f(t0, b, steps, true);
  else
    for (int64_t t = t0; t < t1; ++t) f(t, int64_t{0}, items, false);
}

// Rows of all steps and items at one distance.
template <class T>
bool one_stride(const Frame<T>& f, const View& o) {
  return f.row[o.buffer] == f.batch * f.item[o.buffer];
}

}  // namespace nengo_dl
