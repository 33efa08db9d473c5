// The way back through steps of neurons. Not in neurons.cpp because that takes long enough to compile.
#include "kernels/neurons.h"

#include "neurons/types.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// How elements reach a vector: all lanes, the first `rest`, or the first `rest` with a stride.
struct Whole {
  template <class V>
  NDL_HD V get(const typename Lane<V>::scalar* p, int64_t) const {
    return load<V>(p);
  }
  template <class V>
  NDL_HD void put(typename Lane<V>::scalar* p, int64_t, V v) const {
    store(p, v);
  }
  template <class V>
  NDL_HD void add(typename Lane<V>::scalar* p, int64_t, V v) const {
    store(p, load<V>(p) + v);
  }
};
struct Part {
  int64_t rest;
  template <class V>
  NDL_HD V get(const typename Lane<V>::scalar* p, int64_t) const {
    return load_part(p, rest);
  }
  template <class V>
  NDL_HD void put(typename Lane<V>::scalar* p, int64_t, V v) const {
    store_part(p, v, rest);
  }
  template <class V>
  NDL_HD void add(typename Lane<V>::scalar* p, int64_t, V v) const {
    store_part(p, load_part(p, rest) + v, rest);
  }
};
struct Strided {
  int64_t rest;
  template <class V>
  NDL_HD V get(const typename Lane<V>::scalar* p, int64_t stride) const {
    return gather<V>(p, stride, rest);
  }
  template <class V>
  NDL_HD void put(typename Lane<V>::scalar* p, int64_t stride, V v) const {
    scatter(p, stride, v, rest);
  }
  template <class V>  // one by one: with stride 0 all lanes are added to the same element
  NDL_HD void add(typename Lane<V>::scalar* p, int64_t stride, V v) const {
    for (int64_t i = 0; i < rest; i++) p[i * stride] += v[i];
  }
};

// The neurons from number i at step t.
template <bool Straight, class N, class T, class Lanes>
NDL_HD void lanes_back(const N& model, const Surrogate<T>& h, const NeuronGradCall<T>& c, int64_t t, int64_t i,
                       const Lanes& lanes) {
  using V = typename VectorOf<T>::type;
  constexpr int S = state_count<N>();
  constexpr unsigned reads = Straight ? slope_reads<N>() : N::grad_reads;
  V J{}, g{}, s[S + 1] = {}, a[S + 1] = {};
  if constexpr ((reads & kJ) != 0) J = lanes.template get<V>(c.J + t * c.J_row + i * c.J_stride, c.J_stride);
  if (c.out) g = lanes.template get<V>(c.out + t * c.out_row + i * c.out_stride, c.out_stride);
  for (int k = 0; k < S; k++) {
    const int64_t stride = c.state_stride[k];
    if (reads & state_bit(k)) s[k] = lanes.template get<V>(c.old[k] + t * c.old_row[k] + i * stride, stride);
    if (c.next[k]) a[k] = lanes.template get<V>(c.next[k] + t * c.state_row[k] + i * stride, stride);
  }
  const V by_J = step_back<Straight>(model, h, J, s, g, a);
  if (c.dJ) {
    T* dJ = c.dJ + t * c.dJ_row + i * c.J_stride;
    if (c.set_dJ)
      lanes.put(dJ, c.J_stride, by_J);
    else
      lanes.add(dJ, c.J_stride, by_J);
  }
  for (int k = 0; k < S; k++) {
    if (!c.last[k]) continue;
    T* last = c.last[k] + t * c.state_row[k] + i * c.state_stride[k];
    if (c.last[k] == c.next[k])
      lanes.put(last, c.state_stride[k], a[k]);
    else
      lanes.add(last, c.state_stride[k], a[k]);
  }
}

template <bool Straight, class N, class T>
void way_back(const NeuronModel& bytes, const NeuronGradCall<T>& call) {
  constexpr int64_t W = Lane<typename VectorOf<T>::type>::width;
  alignas(N) char copy[sizeof(N)];
  __builtin_memcpy(copy, bytes.bytes, sizeof(N));
  const N model = *reinterpret_cast<const N*>(copy);  // a copy stays in registers while arrays are written
  const NeuronGradCall<T> c = call;
  const Surrogate<T> h(c.surrogate, c.width);
  bool contiguous = c.J_stride == 1 && c.out_stride == 1;
  for (int s = 0; s < state_count<N>(); s++) contiguous = contiguous && c.state_stride[s] == 1;
  for (int64_t t = c.steps - 1; t >= 0; t--) {
    int64_t i = 0;
    if (contiguous) {
      for (; i + W <= c.n; i += W) lanes_back<Straight>(model, h, c, t, i, Whole{});
      if (i < c.n) lanes_back<Straight>(model, h, c, t, i, Part{c.n - i});
    } else {
      for (; i < c.n; i += W) lanes_back<Straight>(model, h, c, t, i, Strided{c.n - i < W ? c.n - i : W});
    }
  }
}

#define NDL_SURROGATE_NAME(Type) Type::name,
const char* const names_of_surrogates[] = {NDL_SURROGATES(NDL_SURROGATE_NAME) nullptr};

}  // namespace

const char* const* surrogate_names() { return names_of_surrogates; }

template <template <class> class N, class T, bool Straight>
void neuron_grad(const NeuronModel& model, const NeuronGradCall<T>& call) {
  if constexpr (N<T>::spikes || !Straight) way_back<Straight, N<T>, T>(model, call);
}

#define NDL_NEURON_GRAD(Type)                                                                        \
  template void neuron_grad<Type, float, false>(const NeuronModel&, const NeuronGradCall<float>&);   \
  template void neuron_grad<Type, float, true>(const NeuronModel&, const NeuronGradCall<float>&);    \
  template void neuron_grad<Type, double, false>(const NeuronModel&, const NeuronGradCall<double>&); \
  template void neuron_grad<Type, double, true>(const NeuronModel&, const NeuronGradCall<double>&);
NDL_NEURON_TYPES(NDL_NEURON_GRAD)

}  // namespace NDL_ISA
}  // namespace nengo_dl
