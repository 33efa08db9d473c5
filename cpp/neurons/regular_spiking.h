// Regular spikes at the rate J of the base type: voltage += J dt; each whole unit of it is a spike, also below zero.
#pragma once

#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct RegularSpiking {
  static constexpr const char* name = "RegularSpiking";
  static constexpr const char* parameters[] = {"amplitude", "negative", nullptr};
  static constexpr const char* states[] = {"voltage", nullptr};
  static constexpr bool draws = false;
  T dt;      // s
  T height;  // of one spike: amplitude / dt

  RegularSpiking(const double* p, double step) : dt(T(step)), height(T(p[0] / step)) {}

  template <class V>
  NDL_HD void step(V J, V& out, V* s) const {
    const V voltage = s[0] + dt * J;
    const V spikes = floor(voltage);
    out = height * spikes;
    s[0] = voltage - spikes;
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
