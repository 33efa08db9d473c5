#include "kernels/sparse.h"

#include <algorithm>

#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

template <class T>
using V = typename VectorOf<T>::type;

template <class T>
int64_t fired(const T* x, int64_t n, int32_t* at) {
  using Number = typename BitsOf<sizeof(T)>::type;
  using Numbers = typename Lane<V<T>>::Uint;
  constexpr int64_t W = kLanes<T>;
  Numbers numbers = {};
  for (int i = 0; i < W; ++i) numbers[i] = i;
  int64_t found = 0;
  for (int64_t j = 0; j < n; j += W, numbers += W) {
    const int64_t rest = n - j;
    const unsigned lanes = lane_bits((rest < W ? load_part(x + j, rest) : load<V<T>>(x + j)) != V<T>{});
    if (lanes == 0) continue;
    const Numbers packed = pack(numbers, lanes);
    if constexpr (sizeof(Number) == sizeof(int32_t))
      __builtin_memcpy(at + found, &packed, sizeof packed);
    else
      for (int i = 0; i < W; ++i) at[found + i] = static_cast<int32_t>(packed[i]);
    found += __builtin_popcount(lanes);
  }
  return found;
}

template <class U>
NDL_HD void prefetch(const U* from, const U* to) {
  constexpr int64_t kLine = 64 / sizeof(U);
  for (; from < to; from += kLine) __builtin_prefetch(from);
}

// Columns lie anywhere in more memory than the second cache has: they are asked for ahead of time.
template <class T, class Number>
void add(const SparseColumns<T>& s, const Number* chain) {
  constexpr int64_t kAhead = 2;
  T* const chains = s.chains;
  for (int64_t f = 0; f < s.count; ++f) {
    const int64_t j = s.fired[f], end = s.start[j + 1];
    if (f + kAhead < s.count) {
      const int64_t next = s.fired[f + kAhead], from = s.start[next], to = s.start[next + 1];
      prefetch(s.weights + from, s.weights + to);
      prefetch(chain + from, chain + to);
    }
    const T x = s.x[j * s.x_step];
#pragma GCC unroll 4
    for (int64_t e = s.start[j]; e < end; ++e) chains[chain[e]] += s.weights[e] * x;
  }
}

template <class T>
void columns(const SparseColumns<T>& s) {
  static_assert(kSparseChains == 4, "the sum below is of four");
  constexpr int64_t W = kLanes<T>;
  T* const chains = s.chains;
  std::fill(chains, chains + kSparseChains * s.rows, T(0));
  s.narrow ? add(s, s.narrow) : add(s, s.chain);
  const T *a = chains, *b = a + s.rows, *c = b + s.rows, *d = c + s.rows;
  int64_t i = 0;
  for (; i + W <= s.rows; i += W) {
    const V<T> sum = (load<V<T>>(a + i) + load<V<T>>(c + i)) + (load<V<T>>(b + i) + load<V<T>>(d + i));
    store(s.y + i, s.set ? sum : load<V<T>>(s.y + i) + sum);
  }
  for (; i < s.rows; ++i) {
    const T sum = (a[i] + c[i]) + (b[i] + d[i]);
    s.y[i] = s.set ? sum : s.y[i] + sum;
  }
}

}  // namespace

int64_t sparse_fired32(const float* x, int64_t n, int32_t* at) { return fired(x, n, at); }
int64_t sparse_fired64(const double* x, int64_t n, int32_t* at) { return fired(x, n, at); }
void sparse_columns32(const SparseColumns<float>& sums) { columns(sums); }
void sparse_columns64(const SparseColumns<double>& sums) { columns(sums); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
