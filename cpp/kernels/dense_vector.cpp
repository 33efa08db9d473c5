// Element-by-element kernels. A product is rounded before it is added, as in NumPy.
#include "kernels/dense_kernels.h"
#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

template <class T>
inline void copy(const T* x, int64_t xs, T* y, int64_t ys, int64_t n, bool set) {
  if (xs == 1 && ys == 1) {
    if (set)
      for (int64_t i = 0; i < n; ++i) y[i] = x[i];
    else
      for (int64_t i = 0; i < n; ++i) y[i] += x[i];
  } else if (set) {
    for (int64_t i = 0; i < n; ++i) y[i * ys] = x[i * xs];
  } else {
    for (int64_t i = 0; i < n; ++i) y[i * ys] += x[i * xs];
  }
}

template <class T>
inline void mul(const T* a, int64_t as, const T* x, int64_t xs, T* y, int64_t ys, int64_t n, bool set) {
  if (as == 1 && xs == 1 && ys == 1) {
    if (set)
      for (int64_t i = 0; i < n; ++i) y[i] = a[i] * x[i];
    else
      for (int64_t i = 0; i < n; ++i) y[i] += a[i] * x[i];
  } else if (as == 0 && xs == 1 && ys == 1) {
    const T c = *a;
    if (set)
      for (int64_t i = 0; i < n; ++i) y[i] = c * x[i];
    else
      for (int64_t i = 0; i < n; ++i) y[i] += c * x[i];
  } else if (set) {
    for (int64_t i = 0; i < n; ++i) y[i * ys] = a[i * as] * x[i * xs];
  } else {
    for (int64_t i = 0; i < n; ++i) y[i * ys] += a[i * as] * x[i * xs];
  }
}

template <class T>
inline void outer_row(const T* a, T x, const T* bias, T* y, const DenseArgs<T>& d) {
  const bool flat = d.a_i == 1 && d.y_i == 1;
  if (!d.set) return mul<T>(&x, 0, a, d.a_i, y, d.y_i, d.m, false);
  if (!bias) return mul<T>(&x, 0, a, d.a_i, y, d.y_i, d.m, true);
  if (flat && d.b_i == 1)
    for (int64_t i = 0; i < d.m; ++i) y[i] = bias[i] + x * a[i];
  else
    for (int64_t i = 0; i < d.m; ++i) y[i * d.y_i] = bias[i * d.b_i] + x * a[i * d.a_i];
}

template <class T>
inline void outer(const DenseArgs<T>& d) {
  for (int64_t k = 0; k < d.blocks; ++k)
    for (int64_t r = 0; r < d.rows; ++r)
      outer_row(d.a + d.a_at[k], d.x[d.x_at[k] + r * d.x_row],
                d.bias ? d.bias + d.bias_at[k] + r * d.bias_row : nullptr, d.y + d.y_at[k] + r * d.y_row, d);
}

// 0 times a finite number is 0, times any other NaN.
template <class T>
inline bool finite(const T* x, int64_t n) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = kLanes<T>;
  V sum[4] = {};
  int64_t i = 0;
  for (; i + 4 * W <= n; i += 4 * W)
    for (int q = 0; q < 4; q++) sum[q] = fma(T(0), load<V>(x + i + q * W), sum[q]);
  for (; i < n; i += W) sum[0] = fma(T(0), n - i < W ? load_part(x + i, n - i) : load<V>(x + i), sum[0]);
  const V all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  return !any(all != V{});
}

}  // namespace

void vec_copy32(const float* x, int64_t xs, float* y, int64_t ys, int64_t n, bool set) { copy(x, xs, y, ys, n, set); }
void vec_copy64(const double* x, int64_t xs, double* y, int64_t ys, int64_t n, bool set) { copy(x, xs, y, ys, n, set); }
void vec_mul32(const float* a, int64_t as, const float* x, int64_t xs, float* y, int64_t ys, int64_t n, bool set) {
  mul(a, as, x, xs, y, ys, n, set);
}
void vec_mul64(const double* a, int64_t as, const double* x, int64_t xs, double* y, int64_t ys, int64_t n, bool set) {
  mul(a, as, x, xs, y, ys, n, set);
}
bool vec_finite32(const float* x, int64_t n) { return finite(x, n); }
bool vec_finite64(const double* x, int64_t n) { return finite(x, n); }
void dense_outer32(const DenseArgs<float>& d) { outer(d); }
void dense_outer64(const DenseArgs<double>& d) { outer(d); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
