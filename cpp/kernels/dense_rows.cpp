// Products whose matrix lies row by row: lanes run along the inputs, then are added up in a fixed tree.
#include "kernels/dense_kernels.h"
#include "kernels/dense_sums.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// Registers: accumulators MO*RR*S, the smaller of MO and RR, one more; these keep them within 32 (AVX-512) or 16.
#if defined(__AVX512F__)
constexpr int kOutputs = 4, kRows = 4, kTile = 16;
#elif defined(__AVX2__)
constexpr int kOutputs = 4, kRows = 3, kTile = 8;
#else
constexpr int kOutputs = 2, kRows = 4, kTile = 8;
#endif

// MO outputs times RR rows; every one of them has the chain that it would have alone: S vectors take turns along the
// inputs, they are added up, then their lanes.
template <class T, int MO, int RR, int S>
struct Tile {
  static constexpr int L = kLanes<T>;
  using V = Vec<T, L>;

  static NDL_HD void add(const V (&row)[MO], const V (&x)[RR], V* acc) {
    for (int r = 0; r < RR; ++r)
      for (int o = 0; o < MO; ++o) acc[r * MO + o] = fma(row[o], x[r], acc[r * MO + o]);
  }

  static NDL_HD void step(const T* a, int64_t a_i, const T* x, int64_t x_row, V* acc) {
    V row[MO], xj[RR];
    for (int r = 0; r < RR; ++r) xj[r] = load<V>(x + r * x_row);
    for (int o = 0; o < MO; ++o) row[o] = load<V>(a + o * a_i);
    add(row, xj, acc);
  }

  static NDL_HD void last_step(const T* a, int64_t a_i, const T* x, int64_t x_row, int64_t n, V* acc) {
    V row[MO], xj[RR];
    for (int r = 0; r < RR; ++r) xj[r] = load_part(x + r * x_row, n);
    for (int o = 0; o < MO; ++o) row[o] = load_part(a + o * a_i, n);
    add(row, xj, acc);
  }

  static NDL_HD void run(const DenseArgs<T>& d, int64_t k, int64_t i0, int64_t r0) {
    const T* a = d.a + d.a_at[k] + i0 * d.a_i;
    const T* x = d.x + d.x_at[k] + r0 * d.x_row;
    const int64_t a_i = d.a_i, x_row = d.x_row, n = d.n;
    V acc[S][RR * MO] = {};
    int64_t j = 0;
    for (; j + S * L <= n; j += S * L)
      for (int s = 0; s < S; ++s) step(a + j + s * L, a_i, x + j + s * L, x_row, acc[s]);
    for (; j + L <= n; j += L) step(a + j, a_i, x + j, x_row, acc[0]);
    if (j < n) last_step(a + j, a_i, x + j, x_row, n - j, acc[S - 1]);
    for (int q = 0; q < RR * MO; ++q) {
      if constexpr (S == 4) acc[0][q] += acc[2][q], acc[1][q] += acc[3][q];
      if constexpr (S > 1) acc[0][q] += acc[1][q];
    }
    finish(d, k, i0, r0, acc[0]);
  }

  static NDL_HD void finish(const DenseArgs<T>& d, int64_t k, int64_t i0, int64_t r0, V* acc) {
    constexpr int power = RR * MO & -(RR * MO), some = power < L ? power : L;  // vectors that are summed together
    alignas(64) T sum[RR * MO + L - some];
    for (int q = 0; q < RR * MO; q += some) store<V>(sum + q, sums<T, L, some>(acc + q));
    T* y = d.y + d.y_at[k] + r0 * d.y_row + i0 * d.y_i;
    const T* add = !d.set ? y : d.bias ? d.bias + d.bias_at[k] + r0 * d.bias_row + i0 * d.b_i : nullptr;
    const int64_t add_row = d.set ? d.bias_row : d.y_row, add_i = d.set ? d.b_i : d.y_i;
    if constexpr (MO > 1 && MO <= L)
      if (d.y_i == 1 && (!add || add_i == 1)) {
        using Outputs = Vec<T, MO>;
        for (int r = 0; r < RR; ++r) {
          const Outputs v = load<Outputs>(sum + r * MO);
          store<Outputs>(y + r * d.y_row, add ? load<Outputs>(add + r * add_row) + v : v);
        }
        return;
      }
    for (int r = 0; r < RR; ++r)
      for (int o = 0; o < MO; ++o)
        y[r * d.y_row + o * d.y_i] = add ? add[r * add_row + o * add_i] + sum[r * MO + o] : sum[r * MO + o];
  }
};

template <class T, int MO, int RR, int S>
__attribute__((noinline)) void outputs(const DenseArgs<T>& d, int64_t k, int64_t i0, int64_t i1, int64_t r0) {
  for (int64_t i = i0; i < i1; i += MO) Tile<T, MO, RR, S>::run(d, k, i, r0);
}

// Outputs i0 .. i1-1 of one block for RR rows.
template <class T, int RR, int MO>
NDL_HD void some_rows(const DenseArgs<T>& d, int64_t k, int64_t i0, int64_t i1, int64_t r0) {
  const int64_t i2 = i0 + (i1 - i0) / MO * MO;
  if (i2 > i0) outputs<T, MO, RR, 1>(d, k, i0, i2, r0);
  if constexpr (MO > 1)
    if (i2 < i1) some_rows<T, RR, MO / 2>(d, k, i2, i1, r0);
}

// One or two outputs, S chains each, which side by side hide the latency of an addition.
template <class T, int MO, int S>
void few_outputs(const DenseArgs<T>& d, int64_t k) {
  constexpr int kMany = kTile / MO / S;
  int64_t r = 0;
  for (; r + kMany <= d.rows; r += kMany) outputs<T, MO, kMany, S>(d, k, 0, MO, r);
  if constexpr (kMany > 4)
    for (; r + 4 <= d.rows; r += 4) outputs<T, MO, 4, S>(d, k, 0, MO, r);
  for (; r < d.rows; ++r) outputs<T, MO, 1, S>(d, k, 0, MO, r);
}

template <class T>
void many_outputs(const DenseArgs<T>& d, int64_t k) {
  constexpr int64_t kMatrixBytes = 262144;  // of the matrix at once, that it stays in the second-level cache
  const int64_t fit = kMatrixBytes / static_cast<int64_t>(sizeof(T)) / d.n / 8 * 8, step = fit < 8 ? 8 : fit;
  for (int64_t i = 0; i < d.m; i += step) {
    const int64_t i1 = i + step < d.m ? i + step : d.m;
    int64_t r = 0;
    for (; r + kRows <= d.rows; r += kRows) some_rows<T, kRows, kOutputs>(d, k, i, i1, r);
    for (; r < d.rows; ++r) some_rows<T, 1, 8>(d, k, i, i1, r);
  }
}

template <class T, int N>
NDL_HD void turn(const T* __restrict a, int64_t a_i, T* __restrict to, int64_t width) {
  if (a_i == N)  // with a stride that it knows the compiler takes vectors apart
    for (int64_t o = 0; o < width; ++o)
      for (int j = 0; j < N; ++j) to[j * width + o] = a[o * N + j];
  else
    for (int64_t o = 0; o < width; ++o)
      for (int j = 0; j < N; ++j) to[j * width + o] = a[o * a_i + j];
}

// N inputs, many outputs: lanes along the inputs would be mostly idle. The matrix is turned, a piece at a time.
template <class T, int N>
void turned(const DenseArgs<T>& all, void (*columns)(const DenseArgs<T>&)) {
  constexpr int64_t kWidth = 1024 / N;
  alignas(64) T matrix[kWidth * N];
  const int64_t zero = 0;
  DenseArgs<T> d = all;
  d.a = matrix, d.a_at = d.x_at = d.y_at = d.bias_at = &zero, d.blocks = 1, d.a_i = 1;
  for (int64_t k = 0; k < all.blocks; ++k)
    for (int64_t i = 0; i < all.m; i += d.m) {
      const int64_t left = all.m - i;
      d.m = d.a_j = left <= kWidth ? left : left == kWidth + 1 ? kWidth - 1 : kWidth;  // never leaves a single output
      turn<T, N>(all.a + all.a_at[k] + i * all.a_i, all.a_i, matrix, d.m);
      d.x = all.x + all.x_at[k], d.y = all.y + all.y_at[k] + i;
      if (all.bias) d.bias = all.bias + all.bias_at[k] + i;
      columns(d);
    }
}

template <class T>
void blocks(const DenseArgs<T>& d, void (*columns)(const DenseArgs<T>&)) {
  if (d.n <= 4 && d.m >= 8 && d.y_i == 1 && d.b_i == 1) {
    if (d.n == 2) return turned<T, 2>(d, columns);
    if (d.n == 3) return turned<T, 3>(d, columns);
    if (d.n == 4) return turned<T, 4>(d, columns);
  }
  for (int64_t k = 0; k < d.blocks; ++k) {
    if (d.m > 2)
      many_outputs(d, k);
    else if (d.m == 2)
      d.n < kLongRow<T> ? few_outputs<T, 2, 1>(d, k) : few_outputs<T, 2, 2>(d, k);
    else
      d.n < kLongRow<T> ? few_outputs<T, 1, 1>(d, k) : few_outputs<T, 1, 4>(d, k);
  }
}

template <class T>
NDL_HD void any(const DenseArgs<T>& d) {
  for (int64_t k = 0; k < d.blocks; ++k)
    for (int64_t r = 0; r < d.rows; ++r)
      for (int64_t i = 0; i < d.m; ++i) {
        const T* a = d.a + d.a_at[k] + i * d.a_i;
        const T* x = d.x + d.x_at[k] + r * d.x_row;
        T* y = d.y + d.y_at[k] + r * d.y_row + i * d.y_i;
        T sum = 0;
        for (int64_t j = 0; j < d.n; ++j) sum += a[j * d.a_j] * x[j * d.x_j];  // not fused: the products needn't wait
        if (!d.set)
          *y += sum;
        else
          *y = d.bias ? sum + d.bias[d.bias_at[k] + r * d.bias_row + i * d.b_i] : sum;
      }
}

}  // namespace

void dense_rows32(const DenseArgs<float>& d) { blocks(d, &dense_cols32); }
void dense_rows64(const DenseArgs<double>& d) { blocks(d, &dense_cols64); }
void dense_any32(const DenseArgs<float>& d) { any(d); }
void dense_any64(const DenseArgs<double>& d) { any(d); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
