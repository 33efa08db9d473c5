#include "kernels/conv.h"

#include "kernels/simd.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// Calls f(weight offset, input offset) for every tap but those of the last dimension, which it leaves to f.
template <class T, class F>
NDL_HD void each_line(const ConvPoint<T>& c, F f) {
  long at[kMaxSpatial] = {};
  long weight = 0, input = 0;
  for (;;) {
    f(weight, input);
    int d = c.rank - 2;
    for (; d >= 0; d--) {
      weight += c.weight_step[d];
      input += c.input_step[d];
      if (++at[d] < c.taps[d]) break;
      weight -= c.taps[d] * c.weight_step[d];
      input -= c.taps[d] * c.input_step[d];
      at[d] = 0;
    }
    if (d < 0) return;
  }
}

// N vectors of output channels from `first` on; the last of them has `rest` lanes (the width, if it is whole).
template <int N, class T>
void channels(const ConvPoint<T>& c, long first, long rest) {
  using V = typename VectorOf<T>::type;
  constexpr long W = Lane<V>::width;
  const int last = c.rank - 1;
  V sum[N] = {};
  bool empty = false;
  for (int d = 0; d < c.rank; d++) empty = empty || c.taps[d] == 0;
  if (!empty)
    each_line(c, [&](long weight_at, long input_at) {
      for (long k = 0; k < c.taps[last]; k++) {
        const T* weight = c.weight + weight_at + k * c.weight_step[last] + first;
        const T* input = c.input + input_at + k * c.input_step[last];
        for (long i = 0; i < c.in_channels; i++, weight += c.weight_channel, input += c.input_channel) {
          for (int v = 0; v + 1 < N; v++) sum[v] = fma(*input, load<V>(weight + v * W), sum[v]);
          const T* tail = weight + (N - 1) * W;
          sum[N - 1] = fma(*input, rest == W ? load<V>(tail) : load_part(tail, rest), sum[N - 1]);
        }
      }
    });
  for (int v = 0; v < N; v++) {
    T* out = c.out + (first + v * W) * c.out_step;
    const long count = v + 1 < N ? W : rest;
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
  constexpr long W = Lane<typename VectorOf<T>::type>::width;
  for (long first = 0; first < c.out_channels; first += 4 * W) {
    const long left = c.out_channels - first;
    const long rest = left >= 4 * W ? W : (left - 1) % W + 1;
    const long vectors = left >= 4 * W ? 4 : (left + W - 1) / W;
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

}  // namespace

void conv_point32(const ConvPoint<float>& point) { conv_point(point); }
void conv_point64(const ConvPoint<double>& point) { conv_point(point); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
