// Convolutions on the way back: the gradient of weights, and that of inputs with few channels.
#include "kernels/conv.h"

#include "kernels/lines.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// ---- few input channels: sums over vectors of output channels

template <int N, class T>
NDL_HD void dots(const ConvPoints<T>& c, const T* input_at, T* out_at, int64_t first) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  const int last = c.rank - 1;
  V sum[N] = {};
  each_tap_line(c, [&](int64_t weight_at, int64_t at_line) {
    for (int64_t k = 0; k < c.taps[last]; k++) {
      const T* weight = c.weight + weight_at + k * c.weight_step[last] + first * c.weight_channel;
      const T* input = input_at + at_line + k * c.input_step[last];
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
    T* out = out_at + (first + v) * c.out_step;
    T total = c.set ? T(0) : *out;
    for (int64_t i = 0; i < W; i++) total += sum[v][i];
    *out = total;
  }
}

template <class T>
void conv_dots(const ConvPoints<T>& c) {
  GridWalk walk(c.grid);
  for (int64_t left = walk.positions(); left > 0; left--, walk.next()) {
    const T* input = c.input + walk.input;
    T* out = c.out + walk.out;
    int64_t first = 0;
    for (; first + 4 <= c.out_channels; first += 4) dots<4>(c, input, out, first);
    const int64_t rest = c.out_channels - first;
    if (rest == 3)
      dots<3>(c, input, out, first);
    else if (rest == 2)
      dots<2>(c, input, out, first);
    else if (rest == 1)
      dots<1>(c, input, out, first);
  }
}

// ---- gradient of the weights

#if defined(__AVX512F__)
constexpr int kInputs = 8;  // channels at once; with two vectors of outputs, registers hold all sums
#else
constexpr int kInputs = 4;
#endif

// I input channels from `first_in` on by N vectors of output channels from `first` on, `rest` lanes in the last.
template <int I, int N, class T>
void sums_tile(const ConvSums<T>& c, int64_t first_in, int64_t first, int64_t rest) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  const int last = c.rank - 1;
  const int64_t count = c.count[last], input_step = c.input_step[last], output_step = c.output_step[last];
  V sum[I][N];
#pragma GCC unroll 8
  for (int i = 0; i < I; i++)
#pragma GCC unroll 2
    for (int v = 0; v < N; v++) sum[i][v] = V{};
  each_line(c.rank, c.count, c.input_step, c.output_step, [&](int64_t input_at, int64_t output_at) {
    const T* input = c.input + input_at + first_in * c.input_channel;
    const T* output = c.output + output_at + first;
    for (int64_t k = 0; k < count; k++, input += input_step, output += output_step) {
      V out[N];
      for (int v = 0; v + 1 < N; v++) out[v] = load<V>(output + v * W);
      const T* tail = output + (N - 1) * W;
      out[N - 1] = rest == W ? load<V>(tail) : load_part(tail, rest);
#pragma GCC unroll 8
      for (int i = 0; i < I; i++) {
        const V in = splat<V>(input[i * c.input_channel]);
        for (int v = 0; v < N; v++) sum[i][v] = fma(in, out[v], sum[i][v]);
      }
    }
  });
#pragma GCC unroll 8
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
  for (; i + kInputs <= c.in_channels; i += kInputs) sums_tile<kInputs, N>(c, i, first, rest);
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

// N vectors of channels, each with a sum of its own.
template <int N, class T>
void sums_each(const ConvSums<T>& c, int64_t first, int64_t rest) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  const int last = c.rank - 1;
  const int64_t count = c.count[last], input_step = c.input_step[last], output_step = c.output_step[last];
  const auto at = [&](const T* p, int v) {
    return v == N - 1 && rest < W ? load_part(p + v * W, rest) : load<V>(p + v * W);
  };
  V sum[N] = {};
  each_line(c.rank, c.count, c.input_step, c.output_step, [&](int64_t input_at, int64_t output_at) {
    const T* input = c.input + input_at + first;
    const T* output = c.output + output_at + first;
    for (int64_t k = 0; k < count; k++, input += input_step, output += output_step)
      for (int v = 0; v < N; v++) sum[v] = fma(at(input, v), at(output, v), sum[v]);
  });
  T* weight = c.weight + first;
  for (int v = 0; v < N; v++) {
    const V total = at(weight, v) + sum[v];
    if (v == N - 1 && rest < W)
      store_part(weight + v * W, total, rest);
    else
      store<V>(weight + v * W, total);
  }
}

template <class T>
void conv_sums_each(const ConvSums<T>& c) {
  constexpr int64_t W = Lane<typename VectorOf<T>::type>::width;
  int64_t first = 0;
  for (; first + 4 * W <= c.out_channels; first += 4 * W) sums_each<4>(c, first, W);
  for (; first < c.out_channels; first += W) {
    const int64_t left = c.out_channels - first;
    sums_each<1>(c, first, left < W ? left : W);
  }
}

}  // namespace

void conv_dots32(const ConvPoints<float>& points) { conv_dots(points); }
void conv_dots64(const ConvPoints<double>& points) { conv_dots(points); }
void conv_sums32(const ConvSums<float>& sums) { conv_sums(sums); }
void conv_sums64(const ConvSums<double>& sums) { conv_sums(sums); }
void conv_sums_each32(const ConvSums<float>& sums) { conv_sums_each(sums); }
void conv_sums_each64(const ConvSums<double>& sums) { conv_sums_each(sums); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
