// Products whose matrix lies column by column: lanes run along the outputs, each output is one chain over the inputs.
#include "kernels/dense_kernels.h"
#include "kernels/dense_simd.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// Registers: accumulators MV*RR, matrix MV, one broadcast; the limits below keep them within 32 (AVX-512) or 16.
#if defined(__AVX512F__)
constexpr int kRows = 8, kWideRows = 3;
#else
constexpr int kRows = 4, kWideRows = 2;
#endif
constexpr int kWideOne = 8;  // vectors at once for a single row, enough chains to hide the latency of an addition

template <class T>
struct Strip {  // outputs i0 .. i0+width-1 of one block, rows r0 ..
  const DenseArgs<T>* d;
  long block, i0, width, r0;
};

// MV vectors of outputs times RR rows. The last vector ends with the strip and may overlap the one before it: all
// of y is read before any of it is written, so an element that is computed twice is only incremented once.
template <class T, int L, int MV, int RR>
void tile(const Strip<T>& s) {
  using V = Vec<T, L>;
  const DenseArgs<T>& d = *s.d;
  const T* a = d.a + d.a_at[s.block] + s.i0;
  const T* x = d.x + d.x_at[s.block] + s.r0 * d.x_row;
  const long last = s.width - L;
  V acc[RR][MV] = {};
  for (long j = 0; j < d.n; ++j) {
    V column[MV];
    for (int v = 0; v < MV; ++v) column[v] = load<T, L>(a + j * d.a_j + (v == MV - 1 ? last : v * L));
    for (int r = 0; r < RR; ++r) {
      const V xj = broadcast<T, L>(x[r * d.x_row + j * d.x_j]);
      for (int v = 0; v < MV; ++v) acc[r][v] += column[v] * xj;
    }
  }
  for (int r = 0; r < RR; ++r) {
    T* y = d.y + d.y_at[s.block] + (s.r0 + r) * d.y_row + s.i0;
    const T* bias = d.bias ? d.bias + d.bias_at[s.block] + (s.r0 + r) * d.bias_row + s.i0 : nullptr;
    const T* add = d.set ? bias : y;
    if (add)
      for (int v = 0; v < MV; ++v) acc[r][v] += load<T, L>(add + (v == MV - 1 ? last : v * L));
    for (int v = 0; v < MV; ++v) store<T, L>(y + (v == MV - 1 ? last : v * L), acc[r][v]);
  }
}

template <class T, int L, int RR, int MV>
NDL_INLINE void dispatch(const Strip<T>& s, long vectors) {
  if (vectors == MV) return tile<T, L, MV, RR>(s);
  if constexpr (MV > 1) dispatch<T, L, RR, MV - 1>(s, vectors);
}

// All outputs of one block for rows r0 .. r1-1, RR at a time; a strip of the matrix serves all rows before the next.
template <class T, int L, int RR, int MaxMV>
void rows(const DenseArgs<T>& d, long block, long r0, long r1) {
  const long vectors = (d.m + L - 1) / L, strips = (vectors + MaxMV - 1) / MaxMV;
  for (long s = 0; s < strips; ++s) {
    const long v0 = s * vectors / strips, v1 = (s + 1) * vectors / strips;  // the last strip is never the narrowest
    const long i1 = s + 1 == strips ? d.m : v1 * L;
    for (long r = r0; r + RR <= r1; r += RR) dispatch<T, L, RR, MaxMV>({&d, block, v0 * L, i1 - v0 * L, r}, v1 - v0);
  }
}

template <class T, int L>
void lanes(const DenseArgs<T>& d) {
  if constexpr (L > 1)
    if (d.m < L) return lanes<T, L / 2>(d);
  const long many = d.rows / kRows * kRows;
  for (long k = 0; k < d.blocks; ++k) {
    if (many) rows<T, L, kRows, kWideRows>(d, k, 0, many);
    const long pairs = many + (d.rows - many) / 2 * 2;
    if (pairs > many) rows<T, L, 2, 4>(d, k, many, pairs);
    if (d.rows > pairs) rows<T, L, 1, kWideOne>(d, k, pairs, d.rows);
  }
}

}  // namespace

void dense_cols32(const DenseArgs<float>& d) { lanes<float, kLanes<float>>(d); }
void dense_cols64(const DenseArgs<double>& d) { lanes<double, kLanes<double>>(d); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
