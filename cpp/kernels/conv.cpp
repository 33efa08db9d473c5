// Convolutions forward, and back to their inputs: several positions at once share the weights that are loaded for one.
#include "kernels/conv.h"

#include "kernels/lines.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// Vectors of output channels at once, and positions for so many: registers hold positions * vectors sums.
#if defined(__AVX512F__)
constexpr int kVectors = 4, kPositions[] = {8, 8, 8, 6};
#else
constexpr int kVectors = 2, kPositions[] = {8, 6};
#endif

template <int N>
struct Count {
  static constexpr int value = N;
};

template <class T>
struct Strip {  // some output channels, and input channels from c0 on
  const T *weight, *input;
  T* out;
  int64_t last;  // where the last vector of channels begins; it may overlap the one before it
  int64_t in_channels;
  bool begin;  // with 0
};

// Outputs lie side by side. kEach: every output channel has an input channel of its own.
template <class T, int L, int P, int MV, bool kEach>
__attribute__((noinline)) void tile(const ConvPoints<T>& c, const Strip<T>& s, const T* const* input_at,
                                    T* const* out) {
  using V = Vec<T, L>;
  const int last = c.rank - 1;
  const int64_t weight_channel = c.weight_channel, input_channel = c.input_channel, in_channels = s.in_channels;
  const int64_t last_vector = s.last;
  const auto vector = [&](int v) { return v == MV - 1 ? last_vector : v * L; };
  const T* input[P];
  V sum[P][MV];
#pragma GCC unroll 8
  for (int p = 0; p < P; p++) input[p] = input_at[p];
#pragma GCC unroll 8
  for (int p = 0; p < P; p++)
#pragma GCC unroll 8
    for (int v = 0; v < MV; v++) sum[p][v] = s.begin ? V{} : load<V>(out[p] + vector(v));
  each_tap_line(c, [&](int64_t weight_at, int64_t at_line) {
    for (int64_t k = 0; k < c.taps[last]; k++) {
      const T* weight = s.weight + weight_at + k * c.weight_step[last];
      int64_t at = at_line + k * c.input_step[last];
      for (int64_t i = 0; i < in_channels; i++, weight += weight_channel, at += input_channel) {
        V w[MV];
        for (int v = 0; v < MV; v++) w[v] = load<V>(weight + vector(v));
        for (int p = 0; p < P; p++) {
          if constexpr (kEach) {
            for (int v = 0; v < MV; v++) sum[p][v] = fma(w[v], load<V>(input[p] + at + vector(v)), sum[p][v]);
          } else {
            const V x = splat<V>(input[p][at]);
            for (int v = 0; v < MV; v++) sum[p][v] = fma(w[v], x, sum[p][v]);
          }
        }
      }
    }
  });
#pragma GCC unroll 8
  for (int p = 0; p < P; p++)
#pragma GCC unroll 8
    for (int v = 0; v < MV; v++) store<V>(out[p] + vector(v), sum[p][v]);
}

// The same for outputs that lie apart: side by side for so long.
template <class T, int L, int P, int MV, bool kEach>
void tile_apart(const ConvPoints<T>& c, const Strip<T>& s, const T* const* input, T* const* out) {
  alignas(64) T room[P][MV * L];
  T* at[P];
  for (int p = 0; p < P; p++) {
    at[p] = room[p];
    for (int64_t o = 0; o < s.last + L && !s.begin; o++) room[p][o] = out[p][o * c.out_step];
  }
  tile<T, L, P, MV, kEach>(c, s, input, at);
  for (int p = 0; p < P; p++)
    for (int64_t o = 0; o < s.last + L; o++) out[p][o * c.out_step] = room[p][o];
}

// All positions, P at a time. Of a last tile that lacks some, the last position is computed several times: what is
// added to has been read before any of it is written.
template <class T, int L, int MV, bool kEach>
void positions(const ConvPoints<T>& c, const Strip<T>& s) {
  constexpr int P = kPositions[MV - 1];
  const auto some = [&](auto count, const T* const* input, T* const* out) {
    constexpr int N = decltype(count)::value;
    c.out_step == 1 ? tile<T, L, N, MV, kEach>(c, s, input, out) : tile_apart<T, L, N, MV, kEach>(c, s, input, out);
  };
  GridWalk walk(c.grid);
  const T* input[P];
  T* out[P];
  for (int64_t left = walk.positions(); left > 0; left -= P) {
    for (int p = 0; p < P; p++) {
      if (p > 0 && p < left) walk.next();
      input[p] = s.input + walk.input, out[p] = s.out + walk.out;
    }
    walk.next();
    if (left == 1)
      some(Count<1>(), input, out);
    else if (left <= P / 2)
      some(Count<P / 2>(), input, out);
    else
      some(Count<P>(), input, out);
  }
}

template <class T, int L, bool kEach, int MV = kVectors>
NDL_HD void dispatch(const ConvPoints<T>& c, const Strip<T>& s, int64_t vectors) {
  if (vectors == MV) return positions<T, L, MV, kEach>(c, s);
  if constexpr (MV > 1) dispatch<T, L, kEach, MV - 1>(c, s, vectors);
}

// The taps of the last dimension are as many more channels where those of all taps lie one behind the other.
template <class T>
ConvPoints<T> joined(ConvPoints<T> c) {
  const int last = c.rank - 1;
  if (c.weight_step[last] == c.in_channels * c.weight_channel && c.input_step[last] == c.in_channels * c.input_channel)
    c.in_channels *= c.taps[last], c.taps[last] = c.taps[last] != 0;
  return c;
}

// Input channels whose weights, of a strip and all taps, stay in the second-level cache.
template <class T>
int64_t channels_at_once(const ConvPoints<T>& c, int64_t width) {
  constexpr int64_t kBytes = 393216;
  int64_t lines = 1;
  for (int d = 0; d < c.rank; d++) lines *= c.taps[d] > 0 ? c.taps[d] : 1;
  const int64_t fit = kBytes / static_cast<int64_t>(sizeof(T)) / (lines * width);
  return fit < 16 ? 16 : fit;
}

template <class T, int L, bool kEach>
void strips(const ConvPoints<T>& all) {
  if constexpr (L > 1)
    if (all.out_channels < L) return strips<T, L / 2, kEach>(all);
  const ConvPoints<T> c = kEach ? all : joined(all);
  const int64_t vectors = (c.out_channels + L - 1) / L, count = (vectors + kVectors - 1) / kVectors;
  const int64_t step = channels_at_once(c, kVectors * L);
  for (int64_t n = 0; n < count; n++) {
    const int64_t v0 = n * vectors / count, v1 = (n + 1) * vectors / count, first = v0 * L;
    const int64_t end = n + 1 == count ? c.out_channels : v1 * L;
    for (int64_t i = 0; i == 0 || i < c.in_channels; i += step) {
      const int64_t left = c.in_channels - i;
      const Strip<T> s = {c.weight + first + i * c.weight_channel,
                          c.input + (kEach ? first : i * c.input_channel),
                          c.out + first * c.out_step,
                          end - first - L,
                          left < step ? left : step,
                          c.set && i == 0};
      dispatch<T, L, kEach>(c, s, v1 - v0);
    }
  }
}

// Whether tiles take all input channels of a tap before the next tap.
template <class T>
bool fits(const ConvPoints<T>& all) {
  const ConvPoints<T> c = joined(all);
  return channels_at_once(c, kVectors * kLanes<T>) >= c.in_channels;
}

}  // namespace

bool conv_fits32(const ConvPoints<float>& p) { return fits(p); }
bool conv_fits64(const ConvPoints<double>& p) { return fits(p); }
void conv_points32(const ConvPoints<float>& p) { strips<float, kLanes<float>, false>(p); }
void conv_points64(const ConvPoints<double>& p) { strips<double, kLanes<double>, false>(p); }
void conv_each32(const ConvPoints<float>& p) { strips<float, kLanes<float>, true>(p); }
void conv_each64(const ConvPoints<double>& p) { strips<double, kLanes<double>, true>(p); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
