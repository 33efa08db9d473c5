// Integrate and fire without leak of the voltage: voltage += r dt with the leaky rectified rate r; each whole unit of
// it is a spike, of either sign.
#pragma once

#include "neurons/leaky_relu.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct SpikingLeakyReLU {
  static constexpr const char* name = "SpikingLeakyReLU";
  static constexpr const char* parameters[] = {"negative_slope", "amplitude", nullptr};
  static constexpr const char* states[] = {"voltage", nullptr};
  static constexpr bool draws = false;
  static constexpr bool spikes = true;
  static constexpr const char* rate_form = "LeakyReLU";
  static constexpr unsigned grad_reads = kJ | state_bit(0);
  static constexpr unsigned slope_reads = kJ;
  LeakyReLU<T> rate;
  T dt;      // s
  T height;  // of one spike: amplitude / dt

  SpikingLeakyReLU(const double* p, double step) : rate(p, step), dt(T(step)), height(T(p[1] / step)) {}

  template <class V>
  NDL_HD void step(V J, V& out, V* s) const {
    const V voltage = s[0] + rate.leak(J) * dt;
    const V whole = select(voltage < T(0), -floor(-voltage), floor(voltage));
    out = height * whole;
    s[0] = voltage - whole;
  }

  // The thresholds are 1, 2, .. and -1, -2, ..; below zero a higher voltage is further from them.
  template <class V>
  NDL_HD V grad(const Surrogate<T>& h, V J, const V* s, V g, V* a) const {
    const V voltage = s[0] + rate.leak(J) * dt;
    a[0] = a[0] + g * height * h(above_nearest_unit(select(voltage < T(0), -voltage, voltage)));
    return a[0] * dt * rate.slope(J);
  }
  template <class V>
  NDL_HD V slope(V J, const V*) const {
    return rate.amplitude * rate.slope(J);
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
