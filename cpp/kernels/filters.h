// The face of the synapse kernels.
// Strides and rows are in elements; `old`: how far before the new value the old one is.
#pragma once

#include "engine/isa.h"

namespace nengo_dl {

// y = a y + b x for n elements and some steps.
template <class T>
struct LowpassCall {
  long n, steps;
  T a, b;
  const T* x;
  T* y;
  long x_stride, y_stride, x_row, y_row, old;
};

// A linear system of order p for n elements that lie side by side, one step: with x (n), y (n), old and new X (p, n).
template <class T>
struct FilterCall {
  long n, order;
  const T *A, *B, *C;  // (p, p), (p), (p)
  T D;
  bool direct;  // y from the old X
  const T* x;
  T* y;
  const T* old;
  T* now;
  long old_stride, now_stride;  // from row to row of X
};

NDL_DECLARE_KERNEL(void, lowpass32, (const LowpassCall<float>& call))
NDL_DECLARE_KERNEL(void, lowpass64, (const LowpassCall<double>& call))
NDL_DECLARE_KERNEL(void, filter32, (const FilterCall<float>& call))
NDL_DECLARE_KERNEL(void, filter64, (const FilterCall<double>& call))

}  // namespace nengo_dl
