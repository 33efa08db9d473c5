#include "kernels/pool.h"

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

// N vectors of channels; the last of them has `rest` lanes (the width, if it is whole).
template <int N, class V>
struct Channels {
  using T = typename Lane<V>::scalar;
  static constexpr int64_t W = Lane<V>::width;
  int64_t rest;

  NDL_HD V read(const T* p, int v) const {
    if constexpr (W > 1)
      if (v + 1 == N && rest != W) return load_part(p + v * W, rest);
    return load<V>(p + v * W);
  }
  NDL_HD void write(T* p, int v, V value) const {
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

  NDL_HD void maxima(const PoolWindow<T>& w, int64_t first, V* most) const {
    const T* input = w.input + first;
    for (int v = 0; v < N; v++) most[v] = read(input, v);
    each_tap(w, [&](int64_t at) {
      for (int v = 0; v < N; v++) most[v] = larger(read(input + at, v), most[v]);
    });
  }

  NDL_HD void run(const PoolWindow<T>& w, int64_t first) const {
    V most[N];
    maxima(w, first, most);
    T* out = w.out + first;
    for (int v = 0; v < N; v++) write(out, v, w.set ? most[v] : read(out, v) + most[v]);
  }

  NDL_HD void run(const PoolWindowGrad<T>& g, int64_t first) const {
    const PoolWindow<T>& w = g.window;
    const T* input = w.input + first;
    V most[N], left[N];  // what is to be handed out
    maxima(w, first, most);
    for (int v = 0; v < N; v++) left[v] = read(g.out + first, v);
    if (g.share) {
      V count[N] = {};
      each_tap(w, [&](int64_t at) {
        for (int v = 0; v < N; v++) count[v] += select(is(read(input + at, v), most[v]), splat<V>(1), V{});
      });
      for (int v = 0; v < N; v++) left[v] /= count[v];
    }
    each_tap(w, [&](int64_t at) {
      T* adjoint = g.input + first + at;
      for (int v = 0; v < N; v++) {
        const auto hit = is(read(input + at, v), most[v]);
        write(adjoint, v, read(adjoint, v) + select(hit, left[v], V{}));
        if (!g.share) left[v] = select(hit, V{}, left[v]);
      }
    });
  }
};

template <class T, class Window>
NDL_HD void all_channels(const Window& window, int64_t channels) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  if (channels == 1) return Channels<1, T>{1}.run(window, 0);
  int64_t first = 0;
  for (; first + 4 * W <= channels; first += 4 * W) Channels<4, V>{W}.run(window, first);
  for (; first < channels; first += W) Channels<1, V>{channels - first < W ? channels - first : W}.run(window, first);
}

}  // namespace

void max_pool32(const PoolWindow<float>& w) { all_channels<float>(w, w.channels); }
void max_pool64(const PoolWindow<double>& w) { all_channels<double>(w, w.channels); }
void max_pool_grad32(const PoolWindowGrad<float>& w) { all_channels<float>(w, w.window.channels); }
void max_pool_grad64(const PoolWindowGrad<double>& w) { all_channels<double>(w, w.window.channels); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
