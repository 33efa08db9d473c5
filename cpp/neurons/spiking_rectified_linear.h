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
  static constexpr bool spikes = true;
  static constexpr const char* rate_form = "RectifiedLinear";
  static constexpr unsigned grad_reads = kJ | state_bit(0);
  static constexpr unsigned slope_reads = kJ;
  T dt;         // s
  T height;     // of one spike: amplitude / dt
  T amplitude;  // Hz per unit of current

  SpikingRectifiedLinear(const double* p, double step) : dt(T(step)), height(T(p[0] / step)), amplitude(T(p[0])) {}

  template <class V>
  NDL_HD void step(V J, V& out, V* s) const {
    const V voltage = s[0] + at_least(J, T(0)) * dt;
    const V spikes = floor(voltage);
    out = height * spikes;
    s[0] = voltage - spikes;
  }

  template <class V>
  NDL_HD V grad(const Surrogate<T>& h, V J, const V* s, V g, V* a) const {
    a[0] = a[0] + g * height * h(above_nearest_unit(s[0] + at_least(J, T(0)) * dt));
    return select(J > T(0), a[0] * dt, T(0));
  }
  template <class V>
  NDL_HD V slope(V J, const V*) const {
    return select(J > T(0), amplitude, V{});
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
