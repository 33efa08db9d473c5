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
  static constexpr bool spikes = false;
  static constexpr unsigned grad_reads = kJ;
  T maximum;  // Hz: 1 / tau_ref

  Tanh(const double* p, double) : maximum(T(1.0 / p[0])) {}

  template <class V>
  NDL_HD void step(V J, V& out, V*) const {
    out = maximum * tanh(J);
  }
  template <class V>
  NDL_HD V grad(V J, const V*, V g, V*) const {
    const V e = exp(T(2) * select(J < T(0), J, -J)), whole = T(1) + e;
    return g * (maximum * (T(4) * e / (whole * whole)));  // 1 - tanh^2 without cancellation
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
