// Convolutions of inputs that are mostly 0: what does not fire adds nothing, so each spike goes to the outputs it
// meets.
#include "kernels/conv.h"
#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// MV vectors of output channels from `first` on, `rest` lanes in the last.
template <class T, int MV>
void channels(const ConvFired<T>& f, int64_t first, int64_t rest) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  const T* const all_weights = f.weight + first;
  T* const all_outputs = f.out + first;
  const T* const inputs = f.x;
  const int32_t *const at = f.at, *const start = f.start, *const weight_at = f.weight_at, *const out_at = f.out_at;
  const int64_t count = f.count, out_channels = f.out_channels;
  const int32_t in_channels = f.in_channels;
  for (int64_t n = 0; n < count; n++) {
    const int32_t i = at[n], position = i / in_channels, end = start[position + 1];
    const T* const weight = all_weights + (i - position * in_channels) * out_channels;
    const V x = splat<V>(inputs[i]);
    for (int32_t k = start[position]; k < end; k++) {
      const T* const w = weight + weight_at[k];
      T* const out = all_outputs + out_at[k];
      for (int v = 0; v + 1 < MV; v++) store<V>(out + v * W, fma(load<V>(w + v * W), x, load<V>(out + v * W)));
      T* const tail = out + (MV - 1) * W;
      const T* const w_tail = w + (MV - 1) * W;
      if (rest == W)
        store<V>(tail, fma(load<V>(w_tail), x, load<V>(tail)));
      else
        store_part(tail, fma(load_part(w_tail, rest), x, load_part(tail, rest)), rest);
    }
  }
}

template <class T>
void fired(const ConvFired<T>& f) {
  constexpr int64_t W = Lane<typename VectorOf<T>::type>::width;
  int64_t first = 0;
  for (; first + 4 * W <= f.out_channels; first += 4 * W) channels<T, 4>(f, first, W);
  const int64_t left = f.out_channels - first, rest = (left + W - 1) % W + 1;
  if (left > 3 * W)
    channels<T, 4>(f, first, rest);
  else if (left > 2 * W)
    channels<T, 3>(f, first, rest);
  else if (left > W)
    channels<T, 2>(f, first, rest);
  else if (left > 0)
    channels<T, 1>(f, first, rest);
}

}  // namespace

void conv_fired32(const ConvFired<float>& f) { fired(f); }
void conv_fired64(const ConvFired<double>& f) { fired(f); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
