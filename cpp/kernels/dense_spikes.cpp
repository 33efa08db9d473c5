// Products of inputs that are mostly 0, as spikes are: the columns of the others alone. The chains are those of
// dense_cols.cpp without the terms that add 0 to them, which changes the sign of a 0 at most.
#include "kernels/dense_kernels.h"
#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

constexpr int64_t kInputs = 1024;       // whose numbers are listed at once
constexpr int64_t kOutputBytes = 8192;  // that stay in the first-level cache while columns are added to them

template <class T>
using V = typename VectorOf<T>::type;
template <class T>
using Number = typename BitsOf<sizeof(T)>::type;

template <class T>
NDL_HD unsigned spikes_at(const T* x, int64_t rest) {
  constexpr int64_t W = kLanes<T>;
  return lane_bits((rest < W ? load_part(x, rest) : load<V<T>>(x)) != V<T>{});
}

template <class T>
int64_t count(const T* x, int64_t n) {
  int64_t sum = 0;
  for (int64_t j = 0; j < n; j += kLanes<T>) sum += __builtin_popcount(spikes_at(x + j, n - j));
  return sum;
}

// Measured: tiles of several rows read a column once for all of them. A sample is looked at: both ways have the same
// bits.
template <class T>
bool few(const DenseArgs<T>& d) {
  constexpr int64_t kLook = 4096;  // inputs
  const int64_t share = d.rows == 1 ? 3 : 8, all = d.blocks * d.rows;
  const int64_t every = all * d.n <= kLook ? 1 : all * d.n / kLook;
  int64_t found = 0, looked = 0;
  for (int64_t i = 0; i < all; i += every, looked += d.n)
    found += count(d.x + d.x_at[i / d.rows] + i % d.rows * d.x_row, d.n);
  return share * found <= looked;
}

// The inputs from j0 on that are not 0, at most kInputs of them looked at; returns their number.
template <class T>
int64_t list(const T* x, int64_t n, int64_t j0, Number<T>* at) {
  using Numbers = typename Lane<V<T>>::Uint;
  constexpr int64_t W = kLanes<T>;
  const int64_t end = n - j0 < kInputs ? n : j0 + kInputs;
  Numbers numbers = {};
  for (int i = 0; i < W; ++i) numbers[i] = i;
  numbers += static_cast<Number<T>>(j0);
  int64_t found = 0;
  for (int64_t j = j0; j < end; j += W, numbers += W) {
    const unsigned lanes = spikes_at(x + j, end - j);
    const Numbers fired = pack(numbers, lanes);
    __builtin_memcpy(at + found, &fired, sizeof fired);
    found += __builtin_popcount(lanes);
  }
  return found;
}

// y += some columns times their inputs.
template <int Columns, class T>
NDL_HD void add(const T* const* columns, const T* x, T* y, int64_t m) {
  constexpr int64_t W = kLanes<T>;
  int64_t i = 0;
  for (; i + W <= m; i += W) {
    V<T> sum = load<V<T>>(y + i);
    for (int c = 0; c < Columns; ++c) sum = fma(load<V<T>>(columns[c] + i), splat<V<T>>(x[c]), sum);
    store(y + i, sum);
  }
  if (i == m) return;
  V<T> sum = load_part(y + i, m - i);
  for (int c = 0; c < Columns; ++c) sum = fma(load_part(columns[c] + i, m - i), splat<V<T>>(x[c]), sum);
  store_part(y + i, sum, m - i);
}

template <class T>
void add_listed(const DenseArgs<T>& d, int64_t k, const T* x, const Number<T>* at, int64_t found, T* y) {
  constexpr int64_t strip = kOutputBytes / sizeof(T);
  constexpr int C = 4;
  for (int64_t i = 0; i < d.m; i += strip) {
    const T* a = d.a + d.a_at[k] + i;
    const int64_t m = d.m - i < strip ? d.m - i : strip;
    for (int64_t f = 0; f < found; f += C) {
      const T* columns[C];
      T inputs[C];
      const int some = found - f < C ? static_cast<int>(found - f) : C;
      for (int c = 0; c < some; ++c) columns[c] = a + static_cast<int64_t>(at[f + c]) * d.a_j, inputs[c] = x[at[f + c]];
      if (some == C) {
        add<C>(columns, inputs, y + i, m);
        continue;
      }
      for (int c = 0; c < some; ++c) add<1>(columns + c, inputs + c, y + i, m);
    }
  }
}

// The same of few outputs, which stay in MV vectors of L. The last one ends with them and may overlap the one before
// it.
template <class T, int L, int MV>
NDL_HD void add_to_few(const DenseArgs<T>& d, const T* a, const T* x, const Number<T>* at, int64_t found, T* y) {
  using V = Vec<T, L>;
  const int64_t last = d.m - L;
  V sum[MV];
  for (int v = 0; v < MV; ++v) sum[v] = load<V>(y + (v == MV - 1 ? last : v * L));
  for (int64_t f = 0; f < found; ++f) {
    const int64_t j = at[f];
    const T* column = a + j * d.a_j;
    const V xj = splat<V>(x[j]);
    for (int v = 0; v < MV; ++v) sum[v] = fma(load<V>(column + (v == MV - 1 ? last : v * L)), xj, sum[v]);
  }
  for (int v = 0; v < MV; ++v) store<V>(y + (v == MV - 1 ? last : v * L), sum[v]);
}

template <class T>
using AddToFew = void (*)(const DenseArgs<T>&, const T*, const T*, const Number<T>*, int64_t, T*);

// For m outputs; null if they are many.
template <class T, int L = kLanes<T>>
AddToFew<T> few_outputs(int64_t m) {
  if constexpr (L > 1)
    if (m < L) return few_outputs<T, L / 2>(m);
  if (m <= L) return &add_to_few<T, L, 1>;
  if (m <= 2 * L) return &add_to_few<T, L, 2>;
  if (m <= 3 * L) return &add_to_few<T, L, 3>;
  return m <= 4 * L ? &add_to_few<T, L, 4> : nullptr;
}

template <class T>
void spikes(const DenseArgs<T>& d) {
  const AddToFew<T> to_few = few_outputs<T>(d.m);
  alignas(64) Number<T> at[kInputs + kLanes<T>];
  for (int64_t k = 0; k < d.blocks; ++k)
    for (int64_t r = 0; r < d.rows; ++r) {
      T* y = d.y + d.y_at[k] + r * d.y_row;
      const T* x = d.x + d.x_at[k] + r * d.x_row;
      const T* bias = d.bias ? d.bias + d.bias_at[k] + r * d.bias_row : nullptr;
      for (int64_t i = 0; d.set && i < d.m; ++i) y[i] = bias ? bias[i] : T(0);
      for (int64_t j = 0; j < d.n; j += kInputs) {
        const int64_t found = list(x, d.n, j, at);
        to_few ? to_few(d, d.a + d.a_at[k], x, at, found, y) : add_listed(d, k, x, at, found, y);
      }
    }
}

}  // namespace

bool dense_few32(const DenseArgs<float>& d) { return few(d); }
bool dense_few64(const DenseArgs<double>& d) { return few(d); }
void dense_spikes32(const DenseArgs<float>& d) { spikes(d); }
void dense_spikes64(const DenseArgs<double>& d) { spikes(d); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
