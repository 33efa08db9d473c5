// What a neuron type is: a struct templated on the scalar T with
//   name, parameters[], states[]   as in Nengo (ended by nullptr)
//   flags[]                        integer parameters, if any; passed as doubles behind the others
//   draws                          true if it consumes random numbers
//   X(const double* p, double dt)  parameters in the order of parameters[], and the step in seconds
//   step(V J, V& out, V* s) const  one step for one lane or a vector of them (V is T or VectorOf<T>); s as states[]
// or, if the exact time of a spike needs costly functions in the few neurons that fire (see lif.h),
//   step(V J, V& out, V* s) const   the step without them; returns the lanes that fire
//   settle(V J, V* s) const         for those lanes: the states after the step, from what step left there
//   settled                         which states that reads and writes: state_bit(i)
// or, if it draws:
//   step(T J, Random& random) const   returns the output of one neuron; random.sample(): uniform on [0, 1)
// and, for the way back through a step,
//   spikes                         true if the output is no smooth function of the input
//   rate_form                      the name of the smooth type that stands for a spiking one in training, if any
//   grad_reads                     what of J and the states before the step grad looks at: kJ, state_bit(i)
//   grad(V J, const V* s, V g, V* a) const   returns the derivative of the loss by J; s: the states before the step,
//       g: the derivative by out, a: those by the states after the step, on return by those before it
// or, if it spikes (h: see surrogate.h; the reset and the refractory time count as numbers),
//   grad(const Surrogate<T>& h, V J, const V* s, V g, V* a) const
//   slope_reads, slope(V J, const V* s) const   derivative of the rate by J, for the surrogate `straight_through`
// where most of grad doesn't look at a, perhaps in two parts, so that steps can be prepared side by side:
//   Pull<V> pull(const Surrogate<T>& h, V J, const V* s, V g) const, follow(const Pull<V>& pull, V* a) const
// To add a type: write its header and name it in types.h.
#pragma once

#include "math/math.h"
#include "neurons/surrogate.h"

namespace nengo_dl {
namespace NDL_ISA {

constexpr unsigned kJ = 1;
NDL_HD constexpr unsigned state_bit(int i) { return 2u << i; }

template <class N>
NDL_HD constexpr int state_count() {
  // clang can't read the elements of an array of unwritten bound here, so its size tells
  return sizeof(N::states) / sizeof(N::states[0]) - 1;
}

// What a type may leave out.
constexpr const char* no_names[] = {nullptr};
template <class N>
constexpr auto flags(int) -> decltype(+N::flags) {
  return N::flags;
}
template <class N>
constexpr const char* const* flags(long) {
  return no_names;
}
template <class N>
constexpr auto rate_form(int) -> decltype(N::rate_form) {
  return N::rate_form;
}
template <class N>
constexpr const char* rate_form(long) {
  return "";
}
template <class N>
constexpr unsigned slope_reads() {
  if constexpr (N::spikes)
    return N::slope_reads;
  else
    return 0;
}

// Does N settle?
template <class N>
NDL_HD constexpr auto settles(int) -> decltype(N::settled, true) {
  return true;
}
template <class N>
NDL_HD constexpr bool settles(long) {
  return false;
}

// Is its grad in two parts?
template <class N, class V>
NDL_HD constexpr auto pulls(int) -> decltype(sizeof(typename N::template Pull<V>), true) {
  return true;
}
template <class N, class V>
NDL_HD constexpr bool pulls(long) {
  return false;
}

// One step of a type that doesn't draw. If it settles: where nothing is gained by collecting the rare lanes.
template <class N, class V>
NDL_HD void step_any(const N& n, V J, V& out, V* s) {
  if constexpr (settles<N>(0)) {
    const auto fired = n.step(J, out, s);
    if (!any(fired)) return;
    V after[state_count<N>()];
    for (int i = 0; i < state_count<N>(); i++) after[i] = s[i];
    n.settle(J, after);
    for (int i = 0; i < state_count<N>(); i++) s[i] = select(fired, after[i], s[i]);
  } else {
    n.step(J, out, s);
  }
}

// One step back; Straight: with the surrogate `straight_through`, of a type that spikes.
template <bool Straight, class N, class T, class V>
NDL_HD V step_back(const N& n, const Surrogate<T>& h, V J, const V* s, V g, V* a) {
  if constexpr (Straight) {
    for (int i = 0; i < state_count<N>(); i++) a[i] = V{};
    return g * n.slope(J, s);
  } else if constexpr (N::spikes) {
    return n.grad(h, J, s, g, a);
  } else {
    return n.grad(J, s, g, a);
  }
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
