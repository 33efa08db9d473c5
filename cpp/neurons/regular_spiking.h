// Regular spikes at the rate J of the base type: voltage += J dt; each whole unit of it is a spike, also below zero.
#pragma once

#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct RegularSpiking {
  static constexpr const char* name = "RegularSpiking";
  static constexpr const char* parameters[] = {"amplitude", nullptr};
  static constexpr const char* flags[] = {"negative", nullptr};
  static constexpr const char* states[] = {"voltage", nullptr};
  static constexpr bool draws = false;
  static constexpr bool spikes = true;
  static constexpr const char* rate_form = "LeakyReLU";
  static constexpr unsigned grad_reads = kJ | state_bit(0);
  static constexpr unsigned slope_reads = 0;
  T dt;           // s
  T height;       // of one spike: amplitude / dt
  T amplitude;    // of the base type's rate
  bool negative;  // the base type's rates may be negative: 0, -1, .. are thresholds too

  RegularSpiking(const double* p, double step)
      : dt(T(step)), height(T(p[0] / step)), amplitude(T(p[0])), negative(p[1] != 0) {}

  template <class V>
  NDL_HD void step(V J, V& out, V* s) const {
    const V voltage = s[0] + dt * J;
    const V spikes = floor(voltage);
    out = height * spikes;
    s[0] = voltage - spikes;
  }

  template <class V>
  NDL_HD V grad(const Surrogate<T>& h, V J, const V* s, V g, V* a) const {
    const V voltage = s[0] + dt * J;
    a[0] = a[0] + g * height * h(negative ? voltage - floor(voltage + T(0.5)) : above_nearest_unit(voltage));
    return a[0] * dt;
  }
  template <class V>
  NDL_HD V slope(V, const V*) const {
    return V{} + amplitude;
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
