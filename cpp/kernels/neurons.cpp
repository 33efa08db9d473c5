#include "kernels/neurons.h"

#include "neurons/types.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

template <class N>
constexpr int state_count() {
  // clang can't read the elements of an array of unwritten bound here, so its size tells
  constexpr int count = sizeof(N::states) / sizeof(N::states[0]) - 1;
  static_assert(count <= kMaxNeuronStates, "raise kMaxNeuronStates");
  return count;
}

template <class N>
void prepare(NeuronModel* model, const double* parameters, double dt) {
  static_assert(sizeof(N) <= sizeof(NeuronModel), "raise the size of NeuronModel");
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

  Row(const NeuronCall<T>& c, long t) : J(c.J + t * c.J_row), out(c.out + t * c.out_row) {
    for (int s = 0; s < S; s++) {
      now[s] = c.state[s] + t * c.state_row[s];
      old[s] = now[s] - c.old_row[s];
    }
  }
};

constexpr long kGroup = 256;  // neurons in which rare lanes are collected; their numbers fit a byte

// The numbers of the set bits of a group's words, in order; returns how many there are.
NDL_HD long positions(uint8_t* at, const uint64_t* words) {
  long count = 0;
  for (long w = 0; w < kGroup / 64; w++)
    for (uint64_t bits = words[w]; bits; bits &= bits - 1) at[count++] = uint8_t(64 * w + __builtin_ctzll(bits));
  return count;
}

// packed[k] = all[at[k]], with zeros behind to fill a vector. The empty asm keeps the compiler from making it a gather,
// which is slower here.
template <class T>
NDL_HD void pack(T* packed, const T* all, const uint8_t* at, long count, long width) {
  for (long k = 0; k < count; k++) {
    packed[k] = all[at[k]];
    __asm__("" : "+r"(k));
  }
  for (long k = 0; k < width; k++) packed[count + k] = T(0);
}

template <class T>
NDL_HD void unpack(T* all, const T* packed, const uint8_t* at, long count) {
  for (long k = 0; k < count; k++) {
    all[at[k]] = packed[k];
    __asm__("" : "+r"(k));
  }
}

template <class V>
NDL_HD V load_some(const typename Lane<V>::scalar* p, long n) {
  return n >= Lane<V>::width ? load<V>(p) : load_part(p, n);
}
template <class V>
NDL_HD void store_some(typename Lane<V>::scalar* p, V v, long n) {
  n >= Lane<V>::width ? store(p, v) : store_part(p, v, n);
}

// A step of up to kGroup neurons, in which the costly functions see only the lanes that need them, packed.
template <class N, class T, int S>
void step_group(const N model, const Row<T, S> r, long first, long n) {
  using V = typename VectorOf<T>::type;
  constexpr long W = Lane<V>::width;
  alignas(64) T a[kGroup], b[kGroup], rare_a[kGroup + W], rare_b[kGroup + W];
  uint8_t at[kGroup];
  uint64_t waking[kGroup / 64] = {}, fired[kGroup / 64] = {};
  V state[S + 1], out, va, vb;
  for (long i = 0; i < n; i += W) {
    const long k = first + i, rest = n - i;
    for (int s = 0; s < S; s++) state[s] = load_some<V>(r.old[s] + k, rest);
    waking[i / 64] |= uint64_t(lane_bits(model.open(load_some<V>(r.J + k, rest), state, va))) << (i % 64);
    store(a + i, va);
    for (int s = 0; s < S; s++) store_some(r.now[s] + k, state[s], rest);
  }
  long count = positions(at, waking);
  pack(rare_a, a, at, count, W);
  for (long k = 0; k < count; k += W) store(rare_a + k, model.wake(load<V>(rare_a + k)));
  unpack(a, rare_a, at, count);
  for (long i = 0; i < n; i += W) {
    const long k = first + i, rest = n - i;
    for (int s = 0; s < S; s++) state[s] = load_some<V>(r.now[s] + k, rest);
    va = load<V>(a + i);
    fired[i / 64] |= uint64_t(lane_bits(model.close(load_some<V>(r.J + k, rest), out, state, va, vb))) << (i % 64);
    store(a + i, va);
    store(b + i, vb);
    store_some(r.out + k, out, rest);
    for (int s = 0; s < S; s++) store_some(r.now[s] + k, state[s], rest);
  }
  count = positions(at, fired);
  pack(rare_a, a, at, count, W);
  pack(rare_b, b, at, count, W);
  for (long k = 0; k < count; k += W) store(rare_a + k, model.settle(load<V>(rare_a + k), load<V>(rare_b + k)));
  unpack(r.now[N::settled] + first, rare_a, at, count);
}

template <class N, class T>
void step_groups(const N model, const NeuronCall<T>& c, long t) {
  constexpr int S = state_count<N>();
  const Row<T, S> r(c, t);
  for (long i = 0; i < c.n; i += kGroup) step_group<N, T, S>(model, r, i, c.n - i < kGroup ? c.n - i : kGroup);
}

template <class N, class T>
void step_contiguous(const N& model, const NeuronCall<T>& c, long t) {
  using V = typename VectorOf<T>::type;
  constexpr int S = state_count<N>(), W = Lane<V>::width;
  const Row<T, S> r(c, t);
  V state[S + 1], out;
  long i = 0;
  for (; i + W <= c.n; i += W) {
    for (int s = 0; s < S; s++) state[s] = load<V>(r.old[s] + i);
    model.step(load<V>(r.J + i), out, state);
    store(r.out + i, out);
    for (int s = 0; s < S; s++) store(r.now[s] + i, state[s]);
  }
  const long rest = c.n - i;
  if (rest == 0) return;
  for (int s = 0; s < S; s++) state[s] = load_part(r.old[s] + i, rest);
  model.step(load_part(r.J + i, rest), out, state);
  store_part(r.out + i, out, rest);
  for (int s = 0; s < S; s++) store_part(r.now[s] + i, state[s], rest);
}

template <class N, class V>
NDL_HD void step_any(const N& model, V J, V& out, V* state) {
  if constexpr (has_parts<N>(0))
    step_parts(model, J, out, state);
  else
    model.step(J, out, state);
}

template <class N, class T>
void step_strided(const N& model, const NeuronCall<T>& c, long t) {
  using V = typename VectorOf<T>::type;
  constexpr int S = state_count<N>(), W = Lane<V>::width;
  const Row<T, S> r(c, t);
  V state[S + 1], out;
  for (long i = 0; i < c.n; i += W) {
    const long count = c.n - i < W ? c.n - i : W;
    for (int s = 0; s < S; s++) state[s] = gather<V>(r.old[s] + i * c.state_stride[s], c.state_stride[s], count);
    step_any(model, gather<V>(r.J + i * c.J_stride, c.J_stride, count), out, state);
    scatter(r.out + i * c.out_stride, c.out_stride, out, count);
    for (int s = 0; s < S; s++) scatter(r.now[s] + i * c.state_stride[s], c.state_stride[s], state[s], count);
  }
}

template <class N, class T>
void step_drawing(const N& model, const NeuronCall<T>& c, long t) {
  constexpr long kChunk = 64;
  T J[kChunk], out[kChunk];
  const T* from = c.J + t * c.J_row;
  T* to = c.out + t * c.out_row;
  for (long i = 0; i < c.n; i += kChunk) {
    const long count = c.n - i < kChunk ? c.n - i : kChunk;
    for (long k = 0; k < count; k++) J[k] = from[(i + k) * c.J_stride];
    model.step(J, out, count, c.generator);
    for (long k = 0; k < count; k++) to[(i + k) * c.out_stride] = out[k];
  }
}

template <class N, class T>
void run(const NeuronModel& bytes, const NeuronCall<T>& c) {
  alignas(N) char copy[sizeof(N)];
  __builtin_memcpy(copy, bytes.bytes, sizeof(N));
  const N& model = *reinterpret_cast<const N*>(copy);
  if constexpr (N::draws) {
    for (long t = 0; t < c.steps; t++) step_drawing(model, c, t);
  } else {
    bool contiguous = c.J_stride == 1 && c.out_stride == 1;
    for (int s = 0; s < state_count<N>(); s++) contiguous = contiguous && c.state_stride[s] == 1;
    for (long t = 0; t < c.steps; t++) {
      if (!contiguous)
        step_strided(model, c, t);
      else if constexpr (has_parts<N>(0))
        step_groups(model, c, t);
      else
        step_contiguous(model, c, t);
    }
  }
}

#define NDL_NEURON_ENTRY(Type)                                                                   \
  {Type<float>::name,     Type<float>::parameters, Type<float>::states,      Type<float>::draws, \
   &prepare<Type<float>>, &prepare<Type<double>>,  &run<Type<float>, float>, &run<Type<double>, double>},

const NeuronKernel table[] = {NDL_NEURON_TYPES(NDL_NEURON_ENTRY)};

}  // namespace

const NeuronKernel* neuron_kernels(int* count) {
  *count = sizeof table / sizeof table[0];
  return table;
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
