// What a neuron type is: a struct templated on the scalar T with
//   name, parameters[], states[]   as in Nengo (ended by nullptr)
//   draws                          true if it consumes random numbers
//   X(const double* p, double dt)  parameters in the order of parameters[], and the step in seconds
//   step(V J, V& out, V* s) const  one step for one lane or a vector of them, V = T or VectorOf<T>; s in the order of states[]
// or, if it draws:
//   step(const T* J, T* out, long n, int32_t* generator) const   n neurons in Nengo's order
// A parameter that must be an integer is passed as a double, too. To add a type: write its header and name it in types.h.
#pragma once

#include "kernels/math.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class V, class T>
NDL_HD V at_least(V x, T low) {  // NaN stays NaN
  return select(x < low, low, x);
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
