// Integrate and fire without leak: voltage += max(J, 0) dt; each whole unit of it is a spike.
#pragma once

#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct SpikingRectifiedLinear {
  static constexpr const char* name = "SpikingRectifiedLinear";
  static constexpr const char* parameters[] = {"amplitude", nullptr};
  static constexpr const char* states[] = {"voltage", nullptr};
  static constexpr bool draws = false;
  T dt;      // s
  T height;  // of one spike: amplitude / dt

  SpikingRectifiedLinear(const double* p, double step) : dt(T(step)), height(T(p[0] / step)) {}

  template <class V>
  NDL_HD void step(V J, V& out, V* s) const {
    const V voltage = s[0] + at_least(J, T(0)) * dt;
    const V spikes = floor(voltage);
    out = height * spikes;
    s[0] = voltage - spikes;
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
