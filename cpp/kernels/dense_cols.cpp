// Products whose matrix lies column by column: lanes run along the outputs, each output is one chain
// over the inputs that begins with what is added to (y or the bias).
#include "kernels/dense_kernels.h"
#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// Rows at once and vectors of outputs for so many rows. Registers: accumulators rows*vectors, matrix vectors, one
// broadcast; these keep them within 32 (AVX-512) or 16.
#if defined(__AVX512F__)
constexpr int kRows = 8, kWideRows = 3, kWideFour = 6, kWideTwo = 8;
#else
constexpr int kRows = 6, kWideRows = 2, kWideFour = 2, kWideTwo = 4;
#endif
constexpr int kWideOne = 8;  // enough chains to hide the latency of an addition

constexpr int64_t kPanelBytes = 24576;  // of a packed panel: it stays in the first-level cache

template <class T>
struct Strip {       // outputs i0 .. i0+width-1 of one block, rows r0 .., inputs j0 .. j1-1
  const T* a;        // column j0
  int64_t a_column;  // from column to column
  int64_t a_last;    // where the last vector of a column lies
  int64_t block, i0, width, r0, j0, j1;
};

// MV vectors of outputs times RR rows; the sum of inputs before j0 lies in y. The last vector ends with the strip and
// may overlap the one before it: all of y is read before any of it is written, so nothing is added twice.
template <class T, int L, int MV, int RR>
void tile(const DenseArgs<T>& d, const Strip<T>& s) {
  using V = Vec<T, L>;
  const int64_t last = s.width - L, a_column = s.a_column, a_last = s.a_last, x_j = d.x_j, x_row = d.x_row;
  T* y = d.y + d.y_at[s.block] + s.r0 * d.y_row + s.i0;
  const bool begin = d.set && s.j0 == 0;
  const T* from = begin ? d.bias ? d.bias + d.bias_at[s.block] + s.r0 * d.bias_row + s.i0 : nullptr : y;
  const int64_t from_row = begin ? d.bias_row : d.y_row;
  V acc[RR][MV] = {};
  if (from)
    for (int r = 0; r < RR; ++r)
      for (int v = 0; v < MV; ++v) acc[r][v] = load<V>(from + r * from_row + (v == MV - 1 ? last : v * L));
  const T* a = s.a;
  const T* x = d.x + d.x_at[s.block] + s.r0 * x_row + s.j0 * x_j;
  for (int64_t j = s.j0; j < s.j1; ++j, a += a_column, x += x_j) {
    V column[MV];
    for (int v = 0; v < MV; ++v) column[v] = load<V>(a + (v == MV - 1 ? a_last : v * L));
    for (int r = 0; r < RR; ++r) {
      const V xj = splat<V>(x[r * x_row]);
      for (int v = 0; v < MV; ++v) acc[r][v] = fma(column[v], xj, acc[r][v]);
    }
  }
  for (int r = 0; r < RR; ++r)
    for (int v = 0; v < MV; ++v) store<V>(y + r * d.y_row + (v == MV - 1 ? last : v * L), acc[r][v]);
}

template <class T, int L, int RR, int MV>
NDL_HD void dispatch(const DenseArgs<T>& d, const Strip<T>& s, int64_t vectors) {
  if (vectors == MV) return tile<T, L, MV, RR>(d, s);
  if constexpr (MV > 1) dispatch<T, L, RR, MV - 1>(d, s, vectors);
}

// Copies columns j0 .. j1-1 of a strip so that its vectors lie one behind the other.
template <class T, int L>
void pack(Strip<T>* s, int64_t vectors, T* panel) {
  using V = Vec<T, L>;
  for (int64_t j = s->j0; j < s->j1; ++j)
    for (int64_t v = 0; v < vectors; ++v)
      store<V>(panel + ((j - s->j0) * vectors + v) * L,
               load<V>(s->a + (j - s->j0) * s->a_column + (v == vectors - 1 ? s->a_last : v * L)));
  s->a = panel, s->a_column = vectors * L, s->a_last = (vectors - 1) * L;
}

// All outputs of one block for rows r0 .. r1-1, RR at a time, and inputs j0 .. j1-1.
template <class T, int L, int RR, int MaxMV>
void rows(const DenseArgs<T>& d, int64_t block, int64_t r0, int64_t r1, int64_t j0, int64_t j1, T* panel) {
  const int64_t vectors = (d.m + L - 1) / L, strips = (vectors + MaxMV - 1) / MaxMV;
  for (int64_t n = 0; n < strips; ++n) {
    const int64_t v0 = n * vectors / strips, v1 = (n + 1) * vectors / strips;  // the last strip is never the narrowest
    const int64_t i0 = v0 * L, width = (n + 1 == strips ? d.m : v1 * L) - i0;
    Strip<T> s = {d.a + d.a_at[block] + i0 + j0 * d.a_j, d.a_j, width - L, block, i0, width, r0, j0, j1};
    if (panel) pack<T, L>(&s, v1 - v0, panel);
    for (; s.r0 + RR <= r1; s.r0 += RR) dispatch<T, L, RR, MaxMV>(d, s, v1 - v0);
  }
}

// Copying panels pays for several tiles of rows and a matrix that is larger than the first-level cache.
template <class T>
bool pays_packing(const DenseArgs<T>& d, int64_t many) {
  constexpr int64_t kRowsAtLeast = 12, kMatrixBytes = 65536;
  return many >= kRowsAtLeast && d.m * d.n * static_cast<int64_t>(sizeof(T)) > kMatrixBytes &&
         d.m > kWideRows * kLanes<T>;
}

// How many inputs to take before going back to the first output. The chains are the same for any number.
template <class T>
int64_t inputs_at_once(const DenseArgs<T>& d, bool packed) {
  constexpr int64_t kLarge = 262144;
  if (packed) return kPanelBytes / (kWideRows * NDL_SIMD_BYTES);
  // a large matrix is read a few whole columns at a time, as it lies in memory
  if (d.m * d.n * static_cast<int64_t>(sizeof(T)) <= kLarge) return d.n;
  return d.rows == 1 ? 8 : 128;
}

template <class T, int L>
void lanes(const DenseArgs<T>& d) {
  if constexpr (L > 1)
    if (d.m < L) return lanes<T, L / 2>(d);
  alignas(64) T panel[kPanelBytes / sizeof(T)];
  const int64_t many = d.rows / kRows * kRows;
  const int64_t fours = many + (d.rows - many) / 4 * 4, pairs = fours + (d.rows - fours) / 2 * 2;
  const bool packed = pays_packing(d, many);
  const int64_t step = inputs_at_once(d, packed);
  for (int64_t k = 0; k < d.blocks; ++k)
    for (int64_t j = 0; j < d.n; j += step) {
      const int64_t j1 = j + step < d.n ? j + step : d.n;
      if (many) rows<T, L, kRows, kWideRows>(d, k, 0, many, j, j1, packed ? panel : nullptr);
      if (fours > many) rows<T, L, 4, kWideFour>(d, k, many, fours, j, j1, nullptr);
      if (pairs > fours) rows<T, L, 2, kWideTwo>(d, k, fours, pairs, j, j1, nullptr);
      if (d.rows > pairs) rows<T, L, 1, kWideOne>(d, k, pairs, d.rows, j, j1, nullptr);
    }
}

}  // namespace

void dense_cols32(const DenseArgs<float>& d) { lanes<float, kLanes<float>>(d); }
void dense_cols64(const DenseArgs<double>& d) { lanes<double, kLanes<double>>(d); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
