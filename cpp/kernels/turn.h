// Transposed copies, for kernel sources only.
#pragma once

#include <stdint.h>

#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {

// Copies `width` lines of n elements, a_i apart, so that line o becomes column o of rows that are `step` apart.
template <class T>
NDL_HD void turn(const T* __restrict a, int64_t a_i, T* __restrict to, int64_t step, int64_t width, int64_t n) {
  constexpr int64_t kPiece = 8;  // lines at once: what is written together lies together
  int64_t o = 0;
  for (; o + kPiece <= width; o += kPiece)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t p = 0; p < kPiece; ++p) to[j * step + o + p] = a[(o + p) * a_i + j];
  for (; o < width; ++o)
    for (int64_t j = 0; j < n; ++j) to[j * step + o] = a[o * a_i + j];
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
