#include "kernels/conv.h"

#include "kernels/lines.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// Calls f(weight offset, input offset) for every tap but those of the last dimension, which it leaves to f.
template <class T, class F>
NDL_HD void each_tap_line(const ConvPoint<T>& c, F f) {
  for (int d = 0; d < c.rank; d++)
    if (c.taps[d] == 0) return;
  each_line(c.rank, c.taps, c.weight_step, c.input_step, f);
}

// N vectors of output channels from `first` on; the last of them has `rest` lanes (the width, if it is whole).
template <int N, class T>
void channels(const ConvPoint<T>& c, int64_t first, int64_t rest) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  const int last = c.rank - 1;
  V sum[N] = {};
  each_tap_line(c, [&](int64_t weight_at, int64_t input_at) {
    for (int64_t k = 0; k < c.taps[last]; k++) {
      const T* weight = c.weight + weight_at + k * c.weight_step[last] + first;
      const T* input = c.input + input_at + k * c.input_step[last];
      for (int64_t i = 0; i < c.in_channels; i++, weight += c.weight_channel, input += c.input_channel) {
        for (int v = 0; v + 1 < N; v++) sum[v] = fma(*input, load<V>(weight + v * W), sum[v]);
        const T* tail = weight + (N - 1) * W;
        sum[N - 1] = fma(*input, rest == W ? load<V>(tail) : load_part(tail, rest), sum[N - 1]);
      }
    }
  });
  for (int v = 0; v < N; v++) {
    T* out = c.out + (first + v * W) * c.out_step;
    const int64_t count = v + 1 < N ? W : rest;
    if (!c.set) sum[v] = gather<V>(out, c.out_step, count) + sum[v];
    if (c.out_step != 1)
      scatter(out, c.out_step, sum[v], count);
    else if (count == W)
      store(out, sum[v]);
    else
      store_part(out, sum[v], count);
  }
}

template <class T>
void conv_point(const ConvPoint<T>& c) {
  constexpr int64_t W = Lane<typename VectorOf<T>::type>::width;
  for (int64_t first = 0; first < c.out_channels; first += 4 * W) {
    const int64_t left = c.out_channels - first;
    const int64_t rest = left >= 4 * W ? W : (left - 1) % W + 1;
    const int64_t vectors = left >= 4 * W ? 4 : (left + W - 1) / W;
    if (vectors == 4)
      channels<4>(c, first, rest);
    else if (vectors == 3)
      channels<3>(c, first, rest);
    else if (vectors == 2)
      channels<2>(c, first, rest);
    else
      channels<1>(c, first, rest);
  }
}

// ---- few output channels

template <int N, class T>
void dots(const ConvPoint<T>& c, int64_t first) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  const int last = c.rank - 1;
  V sum[N] = {};
  each_tap_line(c, [&](int64_t weight_at, int64_t input_at) {
    for (int64_t k = 0; k < c.taps[last]; k++) {
      const T* weight = c.weight + weight_at + k * c.weight_step[last] + first * c.weight_channel;
      const T* input = c.input + input_at + k * c.input_step[last];
      int64_t i = 0;
      for (; i + W <= c.in_channels; i += W) {
        const V in = load<V>(input + i);
        for (int v = 0; v < N; v++) sum[v] = fma(in, load<V>(weight + v * c.weight_channel + i), sum[v]);
      }
      const int64_t rest = c.in_channels - i;
      if (rest == 0) continue;
      const V in = load_part(input + i, rest);
      for (int v = 0; v < N; v++) sum[v] = fma(in, load_part(weight + v * c.weight_channel + i, rest), sum[v]);
    }
  });
  for (int v = 0; v < N; v++) {
    T* out = c.out + (first + v) * c.out_step;
    T total = c.set ? T(0) : *out;
    for (int64_t i = 0; i < W; i++) total += sum[v][i];
    *out = total;
  }
}

template <class T>
void conv_dots(const ConvPoint<T>& c) {
  int64_t first = 0;
  for (; first + 4 <= c.out_channels; first += 4) dots<4>(c, first);
  const int64_t left = c.out_channels - first;
  if (left == 3)
    dots<3>(c, first);
  else if (left == 2)
    dots<2>(c, first);
  else if (left == 1)
    dots<1>(c, first);
}

// ---- gradient of the weights

// I input channels from `first_in` on by N vectors of output channels from `first` on, `rest` lanes in the last.
template <int I, int N, class T>
void sums_tile(const ConvSums<T>& c, int64_t first_in, int64_t first, int64_t rest) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  const int last = c.rank - 1;
  const int64_t count = c.count[last], input_step = c.input_step[last], output_step = c.output_step[last];
  V sum[I][N] = {};
  each_line(c.rank, c.count, c.input_step, c.output_step, [&](int64_t input_at, int64_t output_at) {
    const T* input = c.input + input_at + first_in * c.input_channel;
    const T* output = c.output + output_at + first;
    for (int64_t k = 0; k < count; k++, input += input_step, output += output_step) {
      V out[N];
      for (int v = 0; v + 1 < N; v++) out[v] = load<V>(output + v * W);
      const T* tail = output + (N - 1) * W;
      out[N - 1] = rest == W ? load<V>(tail) : load_part(tail, rest);
      for (int i = 0; i < I; i++) {
        const V in = splat<V>(input[i * c.input_channel]);
        for (int v = 0; v < N; v++) sum[i][v] = fma(in, out[v], sum[i][v]);
      }
    }
  });
  for (int i = 0; i < I; i++) {
    T* weight = c.weight + (first_in + i) * c.weight_channel + first;
    for (int v = 0; v + 1 < N; v++) store<V>(weight + v * W, load<V>(weight + v * W) + sum[i][v]);
    T* tail = weight + (N - 1) * W;
    if (rest == W)
      store<V>(tail, load<V>(tail) + sum[i][N - 1]);
    else
      store_part(tail, load_part(tail, rest) + sum[i][N - 1], rest);
  }
}

template <int N, class T>
void sums_columns(const ConvSums<T>& c, int64_t first, int64_t rest) {
  int64_t i = 0;
  for (; i + 4 <= c.in_channels; i += 4) sums_tile<4, N>(c, i, first, rest);
  const int64_t left = c.in_channels - i;
  if (left == 3)
    sums_tile<3, N>(c, i, first, rest);
  else if (left == 2)
    sums_tile<2, N>(c, i, first, rest);
  else if (left == 1)
    sums_tile<1, N>(c, i, first, rest);
}

template <class T>
void conv_sums(const ConvSums<T>& c) {
  constexpr int64_t W = Lane<typename VectorOf<T>::type>::width;
  for (int64_t first = 0; first < c.out_channels; first += 2 * W) {
    const int64_t left = c.out_channels - first;
    const int64_t rest = left >= 2 * W ? W : (left - 1) % W + 1;
    if (left > W)
      sums_columns<2>(c, first, rest);
    else
      sums_columns<1>(c, first, rest);
  }
}

}  // namespace

void conv_point32(const ConvPoint<float>& point) { conv_point(point); }
void conv_point64(const ConvPoint<double>& point) { conv_point(point); }
void conv_dots32(const ConvPoint<float>& point) { conv_dots(point); }
void conv_dots64(const ConvPoint<double>& point) { conv_dots(point); }
void conv_sums32(const ConvSums<float>& sums) { conv_sums(sums); }
void conv_sums64(const ConvSums<double>& sums) { conv_sums(sums); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
