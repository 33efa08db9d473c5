// Products of large matrices for many rows: the chains of dense_cols.cpp. What a tile reads is copied first, so that it
// lies side by side: columns that are a power of two apart would share a few lines of the cache.
#include "kernels/dense_kernels.h"
#include "kernels/turn.h"
#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// Rows and vectors of outputs of a tile: registers hold rows * vectors sums.
#if defined(__AVX512F__)
constexpr int kRows = 8, kVectors = 3;
#elif defined(__AVX2__)
constexpr int kRows = 4, kVectors = 3;
#else
constexpr int kRows = 6, kVectors = 2;
#endif

// What is copied at once: some inputs of some rows, which stay in the second-level cache, and the weights of so many
// inputs, one strip of outputs after the other.
#if defined(__AVX512F__)
constexpr int64_t kInputBytes = 4096;  // such processors have a second-level cache of 1 MB and more
#else
constexpr int64_t kInputBytes = 2048;
#endif
template <class T>
constexpr int64_t kInputs = kInputBytes / sizeof(T);
constexpr int64_t kRowsAtOnce = 120 / kRows * kRows, kPanelBytes = 4 << 20;
constexpr int64_t kLine = 64;  // bytes
template <class T>
constexpr int64_t kRowStep = kInputs<T> + kLine / sizeof(T);  // not a power of two
static_assert(kPanelBytes + kRowsAtOnce * kRowStep<float> * 4 + kLine <= kPackedBytes, "there is room for all");
static_assert(kPanelBytes + kRowsAtOnce * kRowStep<double> * 8 + kLine <= kPackedBytes, "there is room for all");

// Part of a product: outputs i0 .. i0+width-1 and rows r0 .. r0+rows-1 of one block, inputs j0 .. j0+n-1.
template <class T>
struct Part {
  int64_t block, i0, width, r0, rows, j0, n;
};

// MV vectors of outputs times RR rows, of which `some` are there: the last of those is computed again for the others.
// The last vector ends with the strip and may overlap the one before it: all of y is read before any of it is written.
template <class T, int L, int RR, int MV>
__attribute__((noinline)) void tile(const DenseArgs<T>& d, const Part<T>& s, const T* panel, const T* x, int64_t some) {
  using V = Vec<T, L>;
  const int64_t last = s.width - L, y_at = d.y_at[s.block] + s.i0;
  const auto vector = [&](int v) { return v == MV - 1 ? last : v * L; };
  const bool begin = d.set && s.j0 == 0;
  const T* from = begin ? d.bias ? d.bias + d.bias_at[s.block] + s.i0 : nullptr : d.y + y_at;
  const int64_t from_row = begin ? d.bias_row : d.y_row;
  T* y[RR];
  V acc[RR][MV] = {};
  for (int r = 0; r < RR; ++r) {
    const int64_t row = s.r0 + (r < some ? r : some - 1);
    y[r] = d.y + y_at + row * d.y_row;
    // what the next tile adds to, which may lie far away
    for (int64_t i = 0; i < MV * L; i += kLine / sizeof(T)) __builtin_prefetch(y[r] + RR * d.y_row + i, 1);
    if (from)
      for (int v = 0; v < MV; ++v) acc[r][v] = load<V>(from + row * from_row + vector(v));
  }
  for (int64_t j = 0; j < s.n; ++j, panel += MV * L, ++x) {
    V column[MV];
    for (int v = 0; v < MV; ++v) column[v] = load<V>(panel + v * L);
    for (int r = 0; r < RR; ++r) {
      const V xj = splat<V>(x[r * kRowStep<T>]);
      for (int v = 0; v < MV; ++v) acc[r][v] = fma(column[v], xj, acc[r][v]);
    }
  }
  for (int r = 0; r < RR; ++r)
    for (int v = 0; v < MV; ++v) store<V>(y[r] + vector(v), acc[r][v]);
}

// All rows of a part that is one strip.
template <class T, int L, int MV = kVectors>
NDL_HD void strip(const DenseArgs<T>& d, Part<T> s, int64_t vectors, const T* panel, const T* xs) {
  if (vectors == MV) {
    for (int64_t left = s.rows; left > 0; left -= kRows, s.r0 += kRows, xs += kRows * kRowStep<T>)
      if (2 * left <= kRows)
        tile<T, L, kRows / 2, MV>(d, s, panel, xs, left);
      else
        tile<T, L, kRows, MV>(d, s, panel, xs, left);
    return;
  }
  if constexpr (MV > 1) strip<T, L, MV - 1>(d, s, vectors, panel, xs);
}

// Copies inputs so that those of a row lie side by side; what is computed twice is there twice.
template <class T>
void copy_inputs(const DenseArgs<T>& d, const Part<T>& s, T* to) {
  const T* x = d.x + d.x_at[s.block] + s.r0 * d.x_row + s.j0 * d.x_j;
  if (d.x_j == 1)
    for (int64_t r = 0; r < s.rows; ++r)
      for (int64_t j = 0; j < s.n; ++j) to[r * kRowStep<T> + j] = x[r * d.x_row + j];
  else if (d.x_row == 1)
    turn(x, d.x_j, to, kRowStep<T>, s.n, s.rows);
  else
    for (int64_t j = 0; j < s.n; ++j)
      for (int64_t r = 0; r < s.rows; ++r) to[r * kRowStep<T> + j] = x[r * d.x_row + j * d.x_j];
  for (int64_t r = s.rows; r % kRows; ++r)
    for (int64_t j = 0; j < s.n; ++j) to[r * kRowStep<T> + j] = to[(s.rows - 1) * kRowStep<T> + j];
}

// Strips of outputs, cut evenly: none is much narrower than the others.
template <int L>
struct Strips {
  int64_t m, vectors, count;

  explicit Strips(int64_t m) : m(m), vectors((m + L - 1) / L), count((vectors + kVectors - 1) / kVectors) {}
  int64_t begin(int64_t n) const { return n * vectors / count; }  // in vectors
  int64_t vectors_of(int64_t n) const { return begin(n + 1) - begin(n); }
  int64_t end(int64_t n) const { return n + 1 == count ? m : begin(n + 1) * L; }
};

// Copies some strips of a matrix, each so that its vectors lie one behind the other: columns are read across all
// strips, rows (a_j == 1) one vector of them after the other.
template <class T, int L>
void copy_strips(const DenseArgs<T>& d, const Part<T>& s, const Strips<L>& strips, int64_t first, int64_t end, T* to) {
  using V = Vec<T, L>;
  const T* const a = d.a + d.a_at[s.block] + s.j0 * d.a_j;
  const auto each_vector = [&](auto copy) {
    T* panel = to;
    for (int64_t p = first; p < end; ++p) {
      const int64_t vectors = strips.vectors_of(p);
      for (int64_t v = 0; v < vectors; ++v)
        copy(v + 1 < vectors ? (strips.begin(p) + v) * L : strips.end(p) - L, panel + v * L, vectors * L);
      panel += vectors * L * s.n;
    }
  };
  if (d.a_i == 1)
    for (int64_t j = 0; j < s.n; ++j)
      each_vector([&](int64_t i, T* at, int64_t step) { store<V>(at + j * step, load<V>(a + j * d.a_j + i)); });
  else
    each_vector([&](int64_t i, T* at, int64_t step) { turn(a + i * d.a_i, d.a_i, at, step, L, s.n); });
}

template <class T, int L>
void product(const DenseArgs<T>& d, int64_t block) {
  const auto room = reinterpret_cast<uintptr_t>(d.room);
  T* panels = reinterpret_cast<T*>((room + kLine - 1) / kLine * kLine);
  T* xs = panels + kPanelBytes / sizeof(T);
  constexpr int64_t kStrips = kPanelBytes / static_cast<int64_t>(sizeof(T)) / (kInputs<T> * kVectors * L);
  const Strips<L> strips(d.m);
  Part<T> s = {block, 0, 0, 0, 0, 0, 0};
  for (int64_t p = 0; p < strips.count; p += kStrips) {
    const int64_t end = p + kStrips < strips.count ? p + kStrips : strips.count;
    for (s.j0 = 0; s.j0 < d.n; s.j0 += kInputs<T>) {
      s.n = d.n - s.j0 < kInputs<T> ? d.n - s.j0 : kInputs<T>;
      copy_strips<T, L>(d, s, strips, p, end, panels);
      for (s.r0 = 0; s.r0 < d.rows; s.r0 += kRowsAtOnce) {
        s.rows = d.rows - s.r0 < kRowsAtOnce ? d.rows - s.r0 : kRowsAtOnce;
        copy_inputs(d, s, xs);
        const T* panel = panels;
        for (int64_t q = p; q < end; ++q) {
          s.i0 = strips.begin(q) * L, s.width = strips.end(q) - s.i0;
          strip<T, L>(d, s, strips.vectors_of(q), panel, xs);
          panel += strips.vectors_of(q) * L * s.n;
        }
      }
    }
  }
}

template <class T>
void blocks(const DenseArgs<T>& d) {
  for (int64_t k = 0; k < d.blocks; ++k) product<T, kLanes<T>>(d, k);
}

}  // namespace

int64_t dense_packed_from() {
#if defined(__AVX512F__)
  return 256;
#else
  return 32;
#endif
}
void dense_packed32(const DenseArgs<float>& d) { blocks(d); }
void dense_packed64(const DenseArgs<double>& d) { blocks(d); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
