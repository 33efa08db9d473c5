// Hyperbolic tangent rate: out = tanh(J) / tau_ref.
#pragma once

#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct Tanh {
  static constexpr const char* name = "Tanh";
  static constexpr const char* parameters[] = {"tau_ref", nullptr};
  static constexpr const char* states[] = {nullptr};
  static constexpr bool draws = false;
  T maximum;  // Hz: 1 / tau_ref

  Tanh(const double* p, double) : maximum(T(1.0 / p[0])) {}

  template <class V>
  NDL_HD void step(V J, V& out, V*) const {
    out = maximum * tanh(J);
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
