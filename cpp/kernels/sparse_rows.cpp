#include "kernels/sparse_rows.h"

#include "kernels/dense_sums.h"
#include "kernels/sparse.h"
#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// ---- lines: element j of all items side by side

// Exchanges the upper half of every 2 * S lanes of the one with the lower half of the other.
template <class V, int S, int... P>
NDL_HD void exchange(V& u, V& v, Indices<P...>) {
  constexpr int L = Lane<V>::width;
  const V low = shuffle<(P & S ? L + P - S : P)...>(u, v);
  v = shuffle<(P & S ? L + P : P + S)...>(u, v);
  u = low;
}

// Lane i of vector j becomes lane j of vector i.
template <class V, int S = Lane<V>::width / 2>
NDL_HD void transpose(V* v) {
  constexpr int L = Lane<V>::width;
  for (int i = 0; i < L; ++i)
    if (!(i & S)) exchange<V, S>(v[i], v[i + S], typename MakeIndices<L>::type());
  if constexpr (S > 1) transpose<V, S / 2>(v);
}

// From `items` arrays of n elements to lines that are `step` apart; lanes without an item become 0.
template <class V, class T>
void to_lines(const T* const* from, int64_t items, int64_t n, T* lines, int64_t step) {
  constexpr int L = Lane<V>::width;
  int64_t j = 0;
  for (; j + L <= n; j += L) {
    V v[L];
    for (int i = 0; i < L; ++i) v[i] = i < items ? load<V>(from[i] + j) : V{};
    transpose(v);
    for (int i = 0; i < L; ++i) store(lines + (j + i) * step, v[i]);
  }
  for (; j < n; ++j)
    for (int i = 0; i < L; ++i) lines[j * step + i] = i < items ? from[i][j] : T(0);
}

// And back, of the first n lines.
template <class V, bool Add, class T>
NDL_HD void from_lines(const T* lines, T* const* to, int64_t items, int64_t first, int64_t n) {
  constexpr int L = Lane<V>::width;
  int64_t j = 0;
  for (; j + L <= n; j += L) {
    V v[L];
    for (int i = 0; i < L; ++i) v[i] = load<V>(lines + (j + i) * L);
    transpose(v);
    for (int i = 0; i < L; ++i)
      if (i < items) {
        T* const at = to[i] + first + j;
        store(at, Add ? load<V>(at) + v[i] : v[i]);
      }
  }
  for (; j < n; ++j)
    for (int64_t i = 0; i < items; ++i) {
      T* const at = to[i] + first + j;
      *at = Add ? *at + lines[j * L + i] : lines[j * L + i];
    }
}

// Calls f(vector, first item, items) with vectors that have a lane for each item, the last ones of half a register if
// that is enough: half the memory, and as fast.
template <class T, class F>
NDL_HD void each_vector(int64_t items, F f) {
  constexpr int W = kLanes<T>;
  for (int64_t i = 0; i < items; i += W) {
    const int64_t rest = items - i < W ? items - i : W;
    if constexpr (NDL_SIMD_BYTES > 16) {
      if (rest <= W / 2) {
        f(Vec<T, W / 2>{}, i, rest);
        continue;
      }
    }
    f(Vec<T, W>{}, i, rest);
  }
}

// ---- y (+)= A x

// A vector of at most four entries of a row, and what they are multiplied with.
template <class T>
using Few = Vec < T,
      kLanes<T><4 ? kLanes<T> : 4>;

template <class T>
NDL_HD Few<T> few(const T* x, const int32_t* column) {
  if constexpr (Lane<Few<T>>::width == 4)
    return Few<T>{x[column[0]], x[column[1]], x[column[2]], x[column[3]]};
  else
    return Few<T>{x[column[0]], x[column[1]]};
}

template <class T>
void product(const SparseRows<T>& s) {
  constexpr int L = Lane<Few<T>>::width, parts = kSparseChains / L;
  static_assert(kSparseChains == 4, "a lane for each");
  const T* const x = s.x[0];
  T* const y = s.y[0];
  for (int64_t i = 0; i < s.rows; ++i) {
    Few<T> sums[parts] = {};
    int64_t k = s.start[i];
    const int64_t end = s.start[i + 1];
    for (; k + 4 <= end; k += 4)
      for (int p = 0; p < parts; ++p) sums[p] += load<Few<T>>(s.a + k + p * L) * few(x, s.column + k + p * L);
    T first = sums[0][0];
    for (; k < end; ++k) first += s.a[k] * x[s.column[k]];
    const T sum = (first + sums[2 / L][2 % L]) + (sums[0][1] + sums[3 / L][3 % L]);
    y[i] = s.set ? sum : y[i] + sum;
  }
}

template <class V, class T>
NDL_HD V row(const SparseRows<T>& s, const T* lines, int64_t i) {
  constexpr int L = Lane<V>::width;
  V sums[4] = {};
  int64_t k = s.start[i];
  const int64_t end = s.start[i + 1];
  for (; k + 4 <= end; k += 4)
    for (int c = 0; c < 4; ++c) sums[c] += s.a[k + c] * load<V>(lines + int64_t{s.column[k + c]} * L);
  for (; k < end; ++k) sums[0] += s.a[k] * load<V>(lines + int64_t{s.column[k]} * L);
  return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

template <class V, bool Add, class T>
void products(const SparseRows<T>& s, int64_t first, int64_t items) {
  constexpr int L = Lane<V>::width;
  alignas(64) T sums[L * L];
  to_lines<V>(s.x + first, items, s.columns, s.lines, L);
  for (int64_t i = 0; i < s.rows; i += L) {
    const int64_t n = s.rows - i < L ? s.rows - i : L;
    for (int64_t r = 0; r < n; ++r) store(sums + r * L, row<V>(s, s.lines, i + r));
    from_lines<V, Add>(sums, s.y + first, items, i, n);
  }
}

template <class T>
void rows(const SparseRows<T>& s) {
  if (s.items == 1) return product(s);
  each_vector<T>(s.items, [&](auto v, int64_t first, int64_t items) {
    s.set ? products<decltype(v), false>(s, first, items) : products<decltype(v), true>(s, first, items);
  });
}

// ---- x += A^T y

template <class T>
void back_product(const SparseRows<T>& s, int64_t item) {
  constexpr int L = Lane<Few<T>>::width;
  T* const x = s.x[item];
  for (int64_t i = 0; i < s.rows; ++i) {
    const T y = s.y[item][i];
    int64_t k = s.start[i];
    const int64_t end = s.start[i + 1];
    for (; k + L <= end; k += L) {
      const Few<T> terms = y * load<Few<T>>(s.a + k);
      for (int c = 0; c < L; ++c) x[s.column[k + c]] += terms[c];
    }
    for (; k < end; ++k) x[s.column[k]] += y * s.a[k];
  }
}

template <class V, class T>
void back_products(const SparseRows<T>& s, int64_t first, int64_t items) {
  constexpr int L = Lane<V>::width;
  T *const xs = s.lines, *const ys = s.lines + s.columns * L;
  to_lines<V>(s.x + first, items, s.columns, xs, L);
  to_lines<V>(s.y + first, items, s.rows, ys, L);
  for (int64_t i = 0; i < s.rows; ++i) {
    const V y = load<V>(ys + i * L);
#pragma GCC unroll 4
    for (int64_t k = s.start[i]; k < s.start[i + 1]; ++k) {
      T* const x = xs + int64_t{s.column[k]} * L;
      store(x, load<V>(x) + y * s.a[k]);
    }
  }
  from_lines<V, false>(xs, s.x + first, items, 0, s.columns);
}

template <class T>
void back(const SparseRows<T>& s) {
  each_vector<T>(s.items, [&](auto v, int64_t first, int64_t items) {
    if (items > 2) return back_products<decltype(v)>(s, first, items);
    for (int64_t i = 0; i < items; ++i) back_product(s, first + i);  // lines, there and back, take longer
  });
}

// ---- a += y x^T

template <class T>
void outer_product(const SparseRows<T>& s) {
  constexpr int L = Lane<Few<T>>::width;
  const T* const x = s.x[0];
  for (int64_t i = 0; i < s.rows; ++i) {
    const T y = s.y[0][i];
    int64_t k = s.start[i];
    const int64_t end = s.start[i + 1];
    for (; k + L <= end; k += L) store(s.a + k, load<Few<T>>(s.a + k) + y * few(x, s.column + k));
    for (; k < end; ++k) s.a[k] += y * x[s.column[k]];
  }
}

// The products of all items, the halves of which have been added until they fit a register.
template <class T>
NDL_HD typename VectorOf<T>::type items_of(const T* y, const T* x) {
  using V = typename VectorOf<T>::type;
  constexpr int W = kLanes<T>;
  V v[kSparseItems / W];
  for (int i = 0; i < kSparseItems / W; ++i) v[i] = load<V>(y + i * W) * load<V>(x + i * W);
  for (int n = kSparseItems / W / 2; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) v[i] += v[n + i];
  return v[0];
}

template <class T>
void outer(const SparseRows<T>& s) {
  using V = typename VectorOf<T>::type;
  constexpr int W = kLanes<T>, S = kSparseItems;
  if (s.items == 1) return outer_product(s);
  T *const xs = s.lines, *const ys = s.lines + s.columns * S;
  for (int i = 0; i < S; i += W) {
    const int64_t items = s.items > i ? s.items - i : 0;
    to_lines<V>(s.x + i, items, s.columns, xs + i, S), to_lines<V>(s.y + i, items, s.rows, ys + i, S);
  }
  for (int64_t i = 0; i < s.rows; ++i)
    for (int64_t k = s.start[i], end = s.start[i + 1]; k < end; k += W) {
      const int64_t n = end - k < W ? end - k : W;
      V v[W];
      for (int e = 0; e < W; ++e) v[e] = e < n ? items_of(ys + i * S, xs + int64_t{s.column[k + e]} * S) : V{};
      const V sum = sums<T, W, W>(v);
      if (n == W)
        store(s.a + k, load<V>(s.a + k) + sum);
      else
        store_part(s.a + k, load_part(s.a + k, n) + sum, n);
    }
}

}  // namespace

void sparse_rows32(const SparseRows<float>& s) { rows(s); }
void sparse_rows64(const SparseRows<double>& s) { rows(s); }
void sparse_back32(const SparseRows<float>& s) { back(s); }
void sparse_back64(const SparseRows<double>& s) { back(s); }
void sparse_outer32(const SparseRows<float>& s) { outer(s); }
void sparse_outer64(const SparseRows<double>& s) { outer(s); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
