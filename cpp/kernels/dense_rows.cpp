// Products whose matrix lies row by row: lanes run along the inputs, then are added up in a fixed tree.
#include "kernels/dense_kernels.h"
#include "kernels/dense_simd.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

template <class T>
NDL_INLINE Vec<T, kLanes<T>> load_some(const T* p, long count) {  // the lanes behind count are 0
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Vec<T, kLanes<T>>)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
  else
    return (Vec<T, kLanes<T>>)_mm512_maskz_loadu_pd((__mmask8)((1u << count) - 1), p);
#else
  Vec<T, kLanes<T>> v = {};
  for (long i = 0; i < count; ++i) v[i] = p[i];
  return v;
#endif
}

// Halves of a vector. Not by way of memory: accumulators whose address is taken would live there, not in registers.
template <class T, int L>
NDL_INLINE T sum_lanes(Vec<T, L> v) {
  if constexpr (L == 16) {
    return sum_lanes<T, 8>(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                           __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
  } else if constexpr (L == 8) {
    return sum_lanes<T, 4>(__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7));
  } else if constexpr (L == 4) {
    return sum_lanes<T, 2>(__builtin_shufflevector(v, v, 0, 1) + __builtin_shufflevector(v, v, 2, 3));
  } else {
    return v[0] + v[1];
  }
}

// MO outputs times RR rows; every one of them has the chain that it would have alone.
template <class T, int MO, int RR>
NDL_INLINE void tile(const DenseArgs<T>& d, long k, long i0, long r0) {
  constexpr int L = kLanes<T>;
  using V = Vec<T, L>;
  const T* a = d.a + d.a_at[k] + i0 * d.a_i;
  const T* x = d.x + d.x_at[k] + r0 * d.x_row;
  V acc[MO][RR] = {};
  long j = 0;
  for (; j + L <= d.n; j += L) {
    V row[MO];
    for (int o = 0; o < MO; ++o) row[o] = load<T, L>(a + o * d.a_i + j);
    for (int r = 0; r < RR; ++r) {
      const V xj = load<T, L>(x + r * d.x_row + j);
      for (int o = 0; o < MO; ++o) acc[o][r] += row[o] * xj;
    }
  }
  if (j < d.n) {
    V row[MO];
    for (int o = 0; o < MO; ++o) row[o] = load_some<T>(a + o * d.a_i + j, d.n - j);
    for (int r = 0; r < RR; ++r) {
      const V xj = load_some<T>(x + r * d.x_row + j, d.n - j);
      for (int o = 0; o < MO; ++o) acc[o][r] += row[o] * xj;
    }
  }
  for (int r = 0; r < RR; ++r)
    for (int o = 0; o < MO; ++o) {
      T* y = d.y + d.y_at[k] + (r0 + r) * d.y_row + (i0 + o) * d.y_i;
      const T sum = sum_lanes<T, L>(acc[o][r]);
      if (!d.set)
        *y += sum;
      else
        *y = d.bias ? sum + d.bias[d.bias_at[k] + (r0 + r) * d.bias_row + (i0 + o) * d.b_i] : sum;
    }
}

template <class T, int RR>
void rows(const DenseArgs<T>& d, long k, long r0) {
  constexpr int kOutputs = RR == 1 ? 4 : 2;
  long i = 0;
  for (; i + kOutputs <= d.m; i += kOutputs) tile<T, kOutputs, RR>(d, k, i, r0);
  for (; i < d.m; ++i) tile<T, 1, RR>(d, k, i, r0);
}

template <class T>
void blocks(const DenseArgs<T>& d) {
  for (long k = 0; k < d.blocks; ++k) {
    long r = 0;
    for (; r + 4 <= d.rows; r += 4) rows<T, 4>(d, k, r);
    for (; r < d.rows; ++r) rows<T, 1>(d, k, r);
  }
}

template <class T>
NDL_INLINE void any(const DenseArgs<T>& d) {
  for (long k = 0; k < d.blocks; ++k)
    for (long r = 0; r < d.rows; ++r)
      for (long i = 0; i < d.m; ++i) {
        const T* a = d.a + d.a_at[k] + i * d.a_i;
        const T* x = d.x + d.x_at[k] + r * d.x_row;
        T* y = d.y + d.y_at[k] + r * d.y_row + i * d.y_i;
        T sum = 0;
        for (long j = 0; j < d.n; ++j) sum += a[j * d.a_j] * x[j * d.x_j];
        if (!d.set)
          *y += sum;
        else
          *y = d.bias ? sum + d.bias[d.bias_at[k] + r * d.bias_row + i * d.b_i] : sum;
      }
}

}  // namespace

void dense_rows32(const DenseArgs<float>& d) { blocks(d); }
void dense_rows64(const DenseArgs<double>& d) { blocks(d); }
void dense_any32(const DenseArgs<float>& d) { any(d); }
void dense_any64(const DenseArgs<double>& d) { any(d); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
