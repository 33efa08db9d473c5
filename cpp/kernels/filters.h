// The face of the synapse kernels.
// Strides and rows are in elements; `old`: how far before the new value the old one is.
#pragma once

#include <stdint.h>

#include "engine/isa.h"

namespace nengo_dl {

// y = a y + b x for n elements and some steps.
template <class T>
struct LowpassCall {
  int64_t n, steps;
  T a, b;
  const T* x;
  T* y;
  int64_t x_stride, y_stride, x_row, y_row, old;
};

// A linear system of order p for n elements that lie side by side, one step: with x (n), y (n), old and new X (p, n).
template <class T>
struct FilterCall {
  int64_t n, order;
  const T *A, *B, *C;  // (p, p), (p), (p)
  T D;
  bool direct;  // y from the old X
  const T* x;
  T* y;
  const T* old;
  T* now;
  int64_t old_stride, now_stride;  // from row to row of X
};

// The way back of lowpass, from the last step to the first: dx += b dy, dy of the step before += a dy.
template <class T>
struct LowpassGradCall {
  int64_t n, steps;
  T a, b;
  T* dy;                                     // after the last step
  T* dx;                                     // of the last step; null: not wanted
  int64_t x_stride, y_stride, x_row, y_row;  // y_row 0: one dy, that of the point of time reached
};

// The way back of filter, one step: dx (+)= B^T next + F dy, old (+)= A^T next + E dy.
template <class T>
struct FilterGradCall {
  int64_t n, order;
  const T *A, *B, *E;
  T F;
  const T *dy, *next;  // adjoints of y and of the new X; null: zero
  T *dx, *old;         // adjoints of x and of the old X; null: not wanted
  int64_t next_stride, old_stride;
  bool add_x, add_old;  // else overwritten
};

NDL_DECLARE_KERNEL(void, lowpass32, (const LowpassCall<float>& call))
NDL_DECLARE_KERNEL(void, lowpass64, (const LowpassCall<double>& call))
NDL_DECLARE_KERNEL(void, filter32, (const FilterCall<float>& call))
NDL_DECLARE_KERNEL(void, filter64, (const FilterCall<double>& call))
NDL_DECLARE_KERNEL(void, lowpass_grad32, (const LowpassGradCall<float>& call))
NDL_DECLARE_KERNEL(void, lowpass_grad64, (const LowpassGradCall<double>& call))
NDL_DECLARE_KERNEL(void, filter_grad32, (const FilterGradCall<float>& call))
NDL_DECLARE_KERNEL(void, filter_grad64, (const FilterGradCall<double>& call))

}  // namespace nengo_dl
