// Products and sums that only gradients need.
#include "kernels/dense_kernels.h"
#include "kernels/dot.h"
#include "kernels/turn.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// Lanes along few inputs would be mostly idle: turns the matrix, a piece at a time, for lanes along the outputs.
template <class T>
NDL_HD void turned(const DenseArgs<T>& all, void (*columns)(const DenseArgs<T>&)) {
  alignas(64) T matrix[kTurnedBytes / sizeof(T)];
  const int64_t zero = 0, fit = static_cast<int64_t>(kTurnedBytes / sizeof(T)) / all.n;
  DenseArgs<T> d = all;
  d.a = matrix, d.a_at = d.x_at = d.y_at = &zero, d.blocks = 1, d.a_i = 1;
  for (int64_t k = 0; k < all.blocks; ++k)
    for (int64_t i = 0; i < all.m; i += d.m) {
      const int64_t left = all.m - i;
      d.m = d.a_j = left <= fit ? left : left == fit + 1 ? fit - 1 : fit;  // never leaves a single output
      turn(all.a + all.a_at[k] + i * all.a_i, all.a_i, matrix, d.m, d.m, all.n);
      d.x = all.x + all.x_at[k], d.y = all.y + all.y_at[k] + i;
      columns(d);
    }
}

template <class T>
NDL_HD T any_dot(const T* a, int64_t as, const T* x, int64_t xs, int64_t n) {
  if (as == 1 && xs == 1) return dot(SideBySide<T>{a}, SideBySide<T>{x}, n);
  if (as == 0 && xs == 1) return dot(Repeated<T>{*a}, SideBySide<T>{x}, n);
  constexpr int kChains = 4;
  T sum[kChains] = {};
  int64_t i = 0;
  for (; i + kChains <= n; i += kChains)
    for (int c = 0; c < kChains; ++c) sum[c] = fma(a[(i + c) * as], x[(i + c) * xs], sum[c]);
  for (; i < n; ++i) sum[0] = fma(a[i * as], x[i * xs], sum[0]);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

}  // namespace

void dense_turned32(const DenseArgs<float>& d) { turned(d, &dense_cols32); }
void dense_turned64(const DenseArgs<double>& d) { turned(d, &dense_cols64); }
float vec_dot32(const float* a, int64_t as, const float* x, int64_t xs, int64_t n) { return any_dot(a, as, x, xs, n); }
double vec_dot64(const double* a, int64_t as, const double* x, int64_t xs, int64_t n) {
  return any_dot(a, as, x, xs, n);
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
