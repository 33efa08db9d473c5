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

}  // namespace NDL_ISA
}  // namespace nengo_dl
