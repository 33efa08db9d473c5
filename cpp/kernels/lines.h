// Loops over positions in several dimensions, for kernel sources only.
#pragma once

#include "kernels/conv.h"
#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {

// Calls f(offset in a, offset in b) at the start of each line along the last of some dimensions.
template <class F>
NDL_HD void each_line(int rank, const int64_t* count, const int64_t* a_step, const int64_t* b_step, F f) {
  int64_t at[kMaxSpatial + 1] = {};
  int64_t a = 0, b = 0;
  for (;;) {
    f(a, b);
    int d = rank - 2;
    for (; d >= 0; d--) {
      a += a_step[d];
      b += b_step[d];
      if (++at[d] < count[d]) break;
      a -= count[d] * a_step[d];
      b -= count[d] * b_step[d];
      at[d] = 0;
    }
    if (d < 0) return;
  }
}

// Calls f(weight offset, input offset) for every tap but those of the last dimension, which it leaves to f.
template <class T, class F>
NDL_HD void each_tap_line(const ConvPoints<T>& c, F f) {
  for (int d = 0; d < c.rank; d++)
    if (c.taps[d] == 0) return;
  each_line(c.rank, c.taps, c.weight_step, c.input_step, f);
}

// Goes from position to position of a grid, over its end to its beginning.
struct GridWalk {
  const ConvGrid& grid;
  int64_t input = 0, out = 0, at[kMaxSpatial + 1] = {};

  explicit GridWalk(const ConvGrid& grid) : grid(grid) {}

  int64_t positions() const {
    int64_t n = 1;
    for (int d = 0; d < grid.rank; d++) n *= grid.count[d];
    return n;
  }
  void next() {
    for (int d = grid.rank - 1; d >= 0; d--) {
      input += grid.input_step[d], out += grid.out_step[d];
      if (++at[d] < grid.count[d]) return;
      input -= grid.count[d] * grid.input_step[d], out -= grid.count[d] * grid.out_step[d];
      at[d] = 0;
    }
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
