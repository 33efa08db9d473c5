#include "kernels/neurons.h"

#include "kernels/fired.h"
#include "kernels/random.h"
#include "neurons/types.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

template <class N>
void prepare(NeuronModel* model, const double* parameters, double dt) {
  static_assert(sizeof(N) <= sizeof(NeuronModel), "raise the size of NeuronModel");
  static_assert(state_count<N>() <= kMaxNeuronStates, "raise kMaxNeuronStates");
  const N n(parameters, dt);
  __builtin_memcpy(model->bytes, &n, sizeof n);
}

// Where the arrays of one step begin.
template <class T, int S>
struct Row {
  const T* J;
  T* out;
  T* now[S + 1];
  const T* old[S + 1];

  Row(const NeuronCall<T>& c, int64_t t) : J(c.J + t * c.J_row), out(c.out + t * c.out_row) {
    for (int s = 0; s < S; s++) {
      now[s] = c.state[s] + t * c.state_row[s];
      old[s] = now[s] - c.old_row[s];
    }
  }
};

// W neurons from neuron `first + i`, or the last `rest` of them.
template <bool All, class N, class T, int S>
NDL_HD void step_lanes(const N& model, const Row<T, S>& r, int64_t first, int64_t i, int64_t rest, Fired<T>& fired,
                       typename Fired<T>::Walk& walk) {
  using V = typename VectorOf<T>::type;
  const int64_t k = first + i;
  V state[S + 1], out;
  for (int s = 0; s < S; s++) state[s] = All ? load<V>(r.old[s] + k) : load_part(r.old[s] + k, rest);
  const auto lanes = model.step(All ? load<V>(r.J + k) : load_part(r.J + k, rest), out, state);
  if constexpr (All) {
    store(r.out + k, out);
    for (int s = 0; s < S; s++) store(r.now[s] + k, state[s]);
  } else {
    store_part(r.out + k, out, rest);
    for (int s = 0; s < S; s++) store_part(r.now[s] + k, state[s], rest);
  }
  fired.add(walk, All ? lane_bits(lanes) : lane_bits(lanes) & ((1u << rest) - 1));
}

// A step of n neurons from number `first`. The model is a copy: its numbers stay in registers while arrays are written.
template <class N, class T, int S>
void step_group(const N model, const Row<T, S> r, int64_t first, int64_t n, Fired<T>& fired) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  typename Fired<T>::Walk walk(0, 0);
  int64_t i = 0;
  for (; i + W <= n; i += W) step_lanes<true>(model, r, first, i, W, fired, walk);
  if (i < n) step_lanes<false>(model, r, first, i, n - i, fired, walk);
  fired.count = walk.count;
  fired.settle(model, r.J + first, [&](int s, int64_t k) { return r.now[s] + first + k; });
}

template <class N, class T>
void step_groups(const N model, const NeuronCall<T>& c, int64_t t) {
  const Row<T, state_count<N>()> r(c, t);
  Fired<T> fired;
  for (int64_t i = 0; i < c.n; i += kGroup) step_group(model, r, i, c.n - i < kGroup ? c.n - i : kGroup, fired);
}

template <class N, class T>
void step_contiguous(const N& model, const NeuronCall<T>& c, int64_t t) {
  using V = typename VectorOf<T>::type;
  constexpr int S = state_count<N>(), W = Lane<V>::width;
  const Row<T, S> r(c, t);
  V state[S + 1], out;
  int64_t i = 0;
  for (; i + W <= c.n; i += W) {
    for (int s = 0; s < S; s++) state[s] = load<V>(r.old[s] + i);
    model.step(load<V>(r.J + i), out, state);
    store(r.out + i, out);
    for (int s = 0; s < S; s++) store(r.now[s] + i, state[s]);
  }
  const int64_t rest = c.n - i;
  if (rest == 0) return;
  for (int s = 0; s < S; s++) state[s] = load_part(r.old[s] + i, rest);
  model.step(load_part(r.J + i, rest), out, state);
  store_part(r.out + i, out, rest);
  for (int s = 0; s < S; s++) store_part(r.now[s] + i, state[s], rest);
}

template <class N, class T>
void step_strided(const N& model, const NeuronCall<T>& c, int64_t t) {
  using V = typename VectorOf<T>::type;
  constexpr int S = state_count<N>(), W = Lane<V>::width;
  const Row<T, S> r(c, t);
  V state[S + 1], out;
  for (int64_t i = 0; i < c.n; i += W) {
    const int64_t count = c.n - i < W ? c.n - i : W;
    for (int s = 0; s < S; s++) state[s] = gather<V>(r.old[s] + i * c.state_stride[s], c.state_stride[s], count);
    step_any(model, gather<V>(r.J + i * c.J_stride, c.J_stride, count), out, state);
    scatter(r.out + i * c.out_stride, c.out_stride, out, count);
    for (int s = 0; s < S; s++) scatter(r.now[s] + i * c.state_stride[s], c.state_stride[s], state[s], count);
  }
}

// Samples of a generator, of which it looks at some ahead: the position is put right where they have been taken.
class Samples {
 public:
  Samples(int32_t* generator, int64_t expected)
      : generator_(generator), ahead_(expected < kMost / 2 ? 2 * expected : kMost) {}
  Samples(const Samples&) = delete;
  ~Samples() { settle(); }

  NDL_HD double sample() {
    if (taken_ == count_) look();
    return coming_[taken_++];
  }
  // How many products of one, two, three .. samples are above `end`.
  NDL_HD double products_above(double end) {
    int64_t above = 0;
    for (double product = 1.0;; look()) {
      int64_t i = taken_;
      for (; i < count_; ++i, ++above) {
        product *= coming_[i];
        if (!(product > end)) return taken_ = i + 1, static_cast<double>(above);
      }
      taken_ = i;
    }
  }

 private:
  static constexpr int64_t kMost = 64;

  void settle() { generator_[kGeneratorPos] += static_cast<int32_t>(2 * (taken_ - drawn_)); }
  NDL_SELDOM void look() {
    settle();
    count_ = coming_samples(generator_, coming_, ahead_), taken_ = drawn_ = 0;
    if (count_ == 0) draw_samples(generator_, coming_, 1), count_ = drawn_ = 1;  // across the end of the key
  }

  int32_t* const generator_;
  const int64_t ahead_;
  int64_t taken_ = 0, count_ = 0, drawn_ = 0;  // drawn_: those that the position has gone past
  double coming_[kMost];
};

// That of poisson.h, without a call within the loop, for which compilers would keep all its numbers in memory.
NDL_HD double poisson_small(double end, Samples& random) { return random.products_above(end); }

constexpr int64_t kDrawn = 256;  // neurons at a time

struct Drawn {
  double number;
  double sample() const { return number; }
};

// Calls f(first, count) for some neurons after the other.
template <class F>
NDL_HD void some_at_a_time(int64_t n, F f) {
  for (int64_t first = 0; first < n; first += kDrawn) f(first, n - first < kDrawn ? n - first : kDrawn);
}

template <class N, class T>
void step_drawing(const N& model, const NeuronCall<T>& c, int64_t t) {
  const T* J = c.J + t * c.J_row;
  T* out = c.out + t * c.out_row;
  double numbers[kDrawn];
  if constexpr (N::draws_one) {
    some_at_a_time(c.n, [&](int64_t first, int64_t count) {
      draw_samples(c.generator, numbers, count);
      for (int64_t k = 0; k < count; k++) {
        const int64_t i = first + k;
        const Drawn one{numbers[k]};
        out[i * c.out_stride] = model.step(J[i * c.J_stride], one);
      }
    });
  } else {
    Samples random(c.generator, c.n);
    some_at_a_time(c.n, [&](int64_t first, int64_t count) {
      for (int64_t k = 0; k < count; k++) numbers[k] = model.start(J[(first + k) * c.J_stride]);
      for (int64_t k = 0; k < count; k++) {
        const int64_t i = first + k;
        out[i * c.out_stride] = model.step(J[i * c.J_stride], numbers[k], random);
      }
    });
  }
}

template <class N, class T>
void run(const NeuronModel& bytes, const NeuronCall<T>& c) {
  alignas(N) char copy[sizeof(N)];
  __builtin_memcpy(copy, bytes.bytes, sizeof(N));
  const N& model = *reinterpret_cast<const N*>(copy);
  if constexpr (N::draws) {
    for (int64_t t = 0; t < c.steps; t++) step_drawing(model, c, t);
  } else {
    bool contiguous = c.J_stride == 1 && c.out_stride == 1;
    for (int s = 0; s < state_count<N>(); s++) contiguous = contiguous && c.state_stride[s] == 1;
    for (int64_t t = 0; t < c.steps; t++) {
      if (!contiguous)
        step_strided(model, c, t);
      else if constexpr (settles<N>(0))
        step_groups(model, c, t);
      else
        step_contiguous(model, c, t);
    }
  }
}

template <template <class> class N, class T>
constexpr NeuronFunctions<T> functions() {
  return {&prepare<N<T>>, &run<N<T>, T>, &neuron_grad<N, T, false>, N<T>::spikes ? &neuron_grad<N, T, true> : nullptr};
}

template <template <class> class N>
constexpr NeuronKernel entry() {
  using F = N<float>;
  return {F::name,
          F::parameters,
          flags<F>(0),
          F::states,
          F::draws,
          F::spikes,
          rate_form<F>(0),
          F::grad_reads,
          slope_reads<F>(),
          functions<N, float>(),
          functions<N, double>()};
}

#define NDL_NEURON_ENTRY(Type) entry<Type>(),
constexpr NeuronKernel table[] = {NDL_NEURON_TYPES(NDL_NEURON_ENTRY)};

}  // namespace

const NeuronKernel* neuron_kernels(int* count) {
  *count = sizeof table / sizeof table[0];
  return table;
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
