// Kernels of the basic ops: sums of products, copies.
#pragma once

#include <stdint.h>

#include "engine/isa.h"

namespace nengo_dl {

// Y = A.X (+ bias) or Y += A.X, for `blocks` blocks and `rows` rows (steps times items) that share A. Plain data.
// Block k starts at pointer + *_at[k]; row r at pointer + r * *_row; element strides are a_i, a_j, x_j, y_i, b_i.
template <class T>
struct DenseArgs {
  const T *a, *x, *bias;  // bias: null if there is none
  T* y;
  const int64_t *a_at, *x_at, *bias_at, *y_at;
  int64_t blocks, m, n, rows;
  int64_t a_i, a_j, x_j, y_i, b_i;
  int64_t x_row, y_row, bias_row;
  bool set;
  T* room;  // for copies, of kernels that make some
};
template <class T>
using DenseFunction = void (*)(const DenseArgs<T>&);

// Each output element is one fixed chain of operations that depends on m, n and the strides alone, never on `rows`,
// so results don't depend on how many items or steps are run together.
NDL_DECLARE_KERNEL(void, dense_cols32, (const DenseArgs<float>& args))  // a_i == y_i == 1, m >= 2: lanes along m
NDL_DECLARE_KERNEL(void, dense_cols64, (const DenseArgs<double>& args))
NDL_DECLARE_KERNEL(void, dense_rows32, (const DenseArgs<float>& args))  // a_j == x_j == 1: lanes along n
NDL_DECLARE_KERNEL(void, dense_rows64, (const DenseArgs<double>& args))
NDL_DECLARE_KERNEL(void, dense_outer32, (const DenseArgs<float>& args))  // n == 1: products, rounded as NumPy does
NDL_DECLARE_KERNEL(void, dense_outer64, (const DenseArgs<double>& args))
NDL_DECLARE_KERNEL(void, dense_any32, (const DenseArgs<float>& args))  // any strides
NDL_DECLARE_KERNEL(void, dense_any64, (const DenseArgs<double>& args))

// a_j == x_j == y_i == 1, m >= 2, n at most 64, no bias: for many rows, where lanes along n would be idle.
constexpr int64_t kTurnedBytes = 32768;
NDL_DECLARE_KERNEL(void, dense_turned32, (const DenseArgs<float>& args))
NDL_DECLARE_KERNEL(void, dense_turned64, (const DenseArgs<double>& args))

// As dense_cols, with room for kPackedBytes, m at least a vector and a_i or a_j == 1: for large matrices and many rows.
constexpr int64_t kPackedBytes = 4800000;
constexpr int64_t kPackedSize = 768, kPackedRows = 192;  // measured: what is large, and how many are many
NDL_DECLARE_KERNEL(void, dense_packed32, (const DenseArgs<float>& args))
NDL_DECLARE_KERNEL(void, dense_packed64, (const DenseArgs<double>& args))
// Rows from which it is faster than dense_rows for matrices that the cache holds, if sums are longer than dense_turned
// takes: measured.
NDL_DECLARE_KERNEL(int64_t, dense_packed_from, ())

// As dense_cols, of finite A and x_j == 1: columns of inputs that are not 0. Pays if those are few.
NDL_DECLARE_KERNEL(bool, dense_few32, (const DenseArgs<float>& args))
NDL_DECLARE_KERNEL(bool, dense_few64, (const DenseArgs<double>& args))
NDL_DECLARE_KERNEL(void, dense_spikes32, (const DenseArgs<float>& args))
NDL_DECLARE_KERNEL(void, dense_spikes64, (const DenseArgs<double>& args))

// y (+)= x and y (+)= a*x, element by element with strides; rounded as NumPy does (no fused multiply-add).
NDL_DECLARE_KERNEL(void, vec_copy32, (const float* x, int64_t xs, float* y, int64_t ys, int64_t n, bool set))
NDL_DECLARE_KERNEL(void, vec_copy64, (const double* x, int64_t xs, double* y, int64_t ys, int64_t n, bool set))
NDL_DECLARE_KERNEL(void, vec_mul32,
                   (const float* a, int64_t as, const float* x, int64_t xs, float* y, int64_t ys, int64_t n, bool set))
NDL_DECLARE_KERNEL(void, vec_mul64,
                   (const double* a, int64_t as, const double* x, int64_t xs, double* y, int64_t ys, int64_t n,
                    bool set))
NDL_DECLARE_KERNEL(float, vec_dot32,
                   (const float* a, int64_t as, const float* x, int64_t xs, int64_t n))  // the sum of a*x
NDL_DECLARE_KERNEL(double, vec_dot64, (const double* a, int64_t as, const double* x, int64_t xs, int64_t n))

NDL_DECLARE_KERNEL(bool, vec_finite32, (const float* x, int64_t n))  // no infinity, no NaN
NDL_DECLARE_KERNEL(bool, vec_finite64, (const double* x, int64_t n))

}  // namespace nengo_dl
