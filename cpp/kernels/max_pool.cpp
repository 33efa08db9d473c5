#include "kernels/max_pool.h"

#include "kernels/lines.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

template <class V>
NDL_HD V larger(V x, V most) {
  return select((x > most) | (x != x), x, most);
}
template <class V>
NDL_HD auto is(V x, V most) {
  return (x == most) | ((x != x) & (most != most));
}

// N vectors of channels, the last of which has `rest` lanes (the width, if it is whole). Beside: channels lie side by
// side.
template <int N, class V, bool kBeside>
struct Channels {
  using T = typename Lane<V>::scalar;
  static constexpr int64_t W = Lane<V>::width;
  int64_t rest;

  NDL_HD V read(const T* p, int v, int64_t step) const {
    if constexpr (!kBeside) return gather<V>(p + v * W * step, step, v + 1 == N ? rest : W);
    if constexpr (W > 1)
      if (v + 1 == N && rest != W) return load_part(p + v * W, rest);
    return load<V>(p + v * W);
  }
  NDL_HD void write(T* p, int v, int64_t step, V value) const {
    if constexpr (!kBeside) return scatter(p + v * W * step, step, value, v + 1 == N ? rest : W);
    if constexpr (W > 1)
      if (v + 1 == N && rest != W) return store_part(p + v * W, value, rest);
    store<V>(p + v * W, value);
  }

  // Calls f(offset) for every tap.
  template <class F>
  static NDL_HD void each_tap(const PoolWindow<T>& w, F f) {
    const int last = w.rank - 1;
    each_line(w.rank, w.taps, w.input_step, w.input_step, [&](int64_t at, int64_t) {
      for (int64_t k = 0; k < w.taps[last]; k++, at += w.input_step[last]) f(at);
    });
  }

  NDL_HD void maxima(const PoolWindow<T>& w, const T* input, V* most) const {
    for (int v = 0; v < N; v++) most[v] = read(input, v, w.input_channel);
    each_tap(w, [&](int64_t at) {
      for (int v = 0; v < N; v++) most[v] = larger(read(input + at, v, w.input_channel), most[v]);
    });
  }

  NDL_HD void run(const PoolWindow<T>& w, int64_t first) const {
    const int64_t step = w.out_channel;
    T* out = w.out + first * step;
    V most[N];
    maxima(w, w.input + first * w.input_channel, most);
    for (int v = 0; v < N; v++) write(out, v, step, w.set ? most[v] : read(out, v, step) + most[v]);
  }

  NDL_HD void run(const PoolWindowGrad<T>& g, int64_t first) const {
    const PoolWindow<T>& w = g.window;
    const int64_t step = w.input_channel;
    const T* input = w.input + first * step;
    V most[N], left[N];  // what is to be handed out
    maxima(w, input, most);
    for (int v = 0; v < N; v++) left[v] = read(g.out + first * w.out_channel, v, w.out_channel);
    if (g.share) {
      V count[N] = {};
      each_tap(w, [&](int64_t at) {
        for (int v = 0; v < N; v++) count[v] += select(is(read(input + at, v, step), most[v]), splat<V>(1), V{});
      });
      for (int v = 0; v < N; v++) left[v] /= count[v];
    }
    each_tap(w, [&](int64_t at) {
      T* adjoint = g.input + first * step + at;
      for (int v = 0; v < N; v++) {
        const auto hit = is(read(input + at, v, step), most[v]);
        write(adjoint, v, step, read(adjoint, v, step) + select(hit, left[v], V{}));
        if (!g.share) left[v] = select(hit, V{}, left[v]);
      }
    });
  }
};

template <class T, class Window>
NDL_HD void all_channels(const Window& window, const PoolWindow<T>& w) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  if (w.channels == 1) return Channels<1, T, true>{1}.run(window, 0);
  const bool beside = w.input_channel == 1 && w.out_channel == 1;
  int64_t first = 0;
  for (; beside && first + 4 * W <= w.channels; first += 4 * W) Channels<4, V, true>{W}.run(window, first);
  for (; first < w.channels; first += W) {
    const int64_t rest = w.channels - first < W ? w.channels - first : W;
    if (beside)
      Channels<1, V, true>{rest}.run(window, first);
    else
      Channels<1, V, false>{rest}.run(window, first);
  }
}

}  // namespace

void max_pool32(const PoolWindow<float>& w) { all_channels(w, w); }
void max_pool64(const PoolWindow<double>& w) { all_channels(w, w); }
void max_pool_grad32(const PoolWindowGrad<float>& g) { all_channels(g, g.window); }
void max_pool_grad64(const PoolWindowGrad<double>& g) { all_channels(g, g.window); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
