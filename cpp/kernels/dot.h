// The sum of products of two rows. Included by kernel sources only.
#pragma once

#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {

// A row of elements side by side, and one that repeats a number. Lanes behind the end are 0 in both: where only one of
// them is, an infinite number would make NaN of it.
template <class T>
struct SideBySide {
  const T* p;
  template <class V>
  NDL_HD V from(int64_t j) const {
    return load<V>(p + j);
  }
  template <class V>
  NDL_HD V last(int64_t j, int64_t n) const {
    return load_part(p + j, n);
  }
};
template <class T>
struct Repeated {
  T value;
  template <class V>
  NDL_HD V from(int64_t) const {
    return splat<V>(value);
  }
  template <class V>
  NDL_HD V last(int64_t, int64_t n) const {
    return gather<V>(&value, 0, n);
  }
};

// Four sums side by side, so that their additions don't wait for one another.
template <class T, class Row>
NDL_HD T dot(const Row x, const SideBySide<T> y, int64_t n) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  V sum[4] = {};
  int64_t j = 0;
  for (; j + 4 * W <= n; j += 4 * W)
    for (int k = 0; k < 4; k++) sum[k] = fma(x.template from<V>(j + k * W), y.template from<V>(j + k * W), sum[k]);
  for (; j + W <= n; j += W) sum[0] = fma(x.template from<V>(j), y.template from<V>(j), sum[0]);
  if (j < n) sum[1] = fma(x.template last<V>(j, n - j), y.template last<V>(j, n - j), sum[1]);
  const V all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  T total = 0;
  for (int i = 0; i < W; i++) total += all[i];
  return total;
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
