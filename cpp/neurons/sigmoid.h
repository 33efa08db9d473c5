// Logistic rate: out = 1 / (tau_ref (1 + exp(-J))).
#pragma once

#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct Sigmoid {
  static constexpr const char* name = "Sigmoid";
  static constexpr const char* parameters[] = {"tau_ref", nullptr};
  static constexpr const char* states[] = {nullptr};
  static constexpr bool draws = false;
  static constexpr bool spikes = false;
  static constexpr unsigned grad_reads = kJ;
  T maximum;  // Hz: 1 / tau_ref

  Sigmoid(const double* p, double) : maximum(T(1.0 / p[0])) {}

  template <class V>
  NDL_HD void step(V J, V& out, V*) const {
    out = maximum / (T(1) + exp(-J));
  }
  template <class V>
  NDL_HD V grad(V J, const V*, V g, V*) const {
    const V e = exp(select(J < T(0), J, -J)), whole = T(1) + e;  // the same on both sides, and e can't be infinite
    return g * (maximum * e / (whole * whole));
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
