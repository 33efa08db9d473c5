// What a neuron type is: a struct templated on the scalar T with
//   name, parameters[], states[]   as in Nengo (ended by nullptr)
//   draws                          true if it consumes random numbers
//   X(const double* p, double dt)  parameters in the order of parameters[], and the step in seconds
//   step(V J, V& out, V* s) const  one step for one lane or a vector of them (V is T or VectorOf<T>); s as states[]
// or, if exact spike times need costly functions in the few neurons that fire or wake (see lif.h),
//   open, wake, close, settle      one step in four parts: wake where open says so, settle where close says so
//   settled                        the number of the state that settle sets
// or, if it draws:
//   step(const T* J, T* out, long n, int32_t* generator) const   n neurons in Nengo's order
// An integer parameter is passed as a double, too. To add a type: write its header and name it in types.h.
#pragma once

#include "kernels/math.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class V, class T>
NDL_HD V at_least(V x, T low) {  // NaN stays NaN
  return select(x < low, low, x);
}

// One step of a type that has four parts, when nothing is gained by collecting the rare lanes.
template <class N, class V>
NDL_HD void step_parts(const N& n, V J, V& out, V* s) {
  V a, b;
  const auto waking = n.open(J, s, a);
  if (any(waking)) a = select(waking, n.wake(a), a);
  const auto fired = n.close(J, out, s, a, b);
  if (any(fired)) s[N::settled] = select(fired, n.settle(a, b), s[N::settled]);
}

// Does N have four parts?
template <class N>
constexpr auto has_parts(int) -> decltype(N::settled, true) {
  return true;
}
template <class N>
constexpr bool has_parts(long) {
  return false;
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
