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
  T maximum;  // Hz: 1 / tau_ref

  Sigmoid(const double* p, double) : maximum(T(1.0 / p[0])) {}

  template <class V>
  NDL_HD void step(V J, V& out, V*) const {
    out = maximum / (T(1) + exp(-J));
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
