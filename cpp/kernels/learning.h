// The face of the learning kernels: each makes one row of a weight change. Strides are in elements.
#pragma once

#include <stdint.h>

#include "engine/isa.h"

namespace nengo_dl {

template <class T>
struct Strided {
  T* p;
  int64_t stride;
};

// y[j] = s x[j], or += where `add` is set, of the rounded product as if it had been stored
// oja:  y[j] = forget w[j] q + s x[j]
// voja: y[j] = rate (scale (post x[j]) - post w[j])
template <class T>
struct LearningRow {
  int64_t n;
  T s, q, forget, rate, scale, post;
  Strided<const T> x, w;
  Strided<T> y;
  bool add;
};

NDL_DECLARE_KERNEL(void, outer_row32, (const LearningRow<float>& row))
NDL_DECLARE_KERNEL(void, outer_row64, (const LearningRow<double>& row))
NDL_DECLARE_KERNEL(void, oja_row32, (const LearningRow<float>& row))
NDL_DECLARE_KERNEL(void, oja_row64, (const LearningRow<double>& row))
NDL_DECLARE_KERNEL(void, voja_row32, (const LearningRow<float>& row))
NDL_DECLARE_KERNEL(void, voja_row64, (const LearningRow<double>& row))
// sum of x[j] y[j]; contiguous
NDL_DECLARE_KERNEL(float, dot32, (const float* x, const float* y, int64_t n))
NDL_DECLARE_KERNEL(double, dot64, (const double* x, const double* y, int64_t n))
// now[j] = old[j] - s x[j]; contiguous
NDL_DECLARE_KERNEL(void, minus_row32, (float* now, const float* old, float s, const float* x, int64_t n))
NDL_DECLARE_KERNEL(void, minus_row64, (double* now, const double* old, double s, const double* x, int64_t n))

}  // namespace nengo_dl
