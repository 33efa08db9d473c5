// Izhikevich (2003), Simple model of spiking neurons, IEEE Trans. Neural Networks 14: v in mV, time in ms, Euler steps.
#pragma once

#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct Izhikevich {
  static constexpr const char* name = "Izhikevich";
  static constexpr const char* parameters[] = {"tau_recovery", "coupling", "reset_voltage", "reset_recovery", nullptr};
  static constexpr const char* states[] = {"voltage", "recovery", nullptr};
  static constexpr bool draws = false;
  T dt;              // s
  T tau_recovery;    // a: rate of the recovery variable, 1/ms
  T coupling;        // b: how recovery follows the voltage
  T reset_voltage;   // c, mV
  T reset_recovery;  // d
  T height;          // of a spike: 1 / dt

  Izhikevich(const double* p, double step)
      : dt(T(step)),
        tau_recovery(T(p[0])),
        coupling(T(p[1])),
        reset_voltage(T(p[2])),
        reset_recovery(T(p[3])),
        height(T(1.0 / step)) {}

  template <class V>
  NDL_HD void step(V J, V& out, V* s) const {
    const V v = s[0], u = s[1];
    const V current = at_least(J, T(-30));  // below, the Euler steps diverge
    V voltage = v + (T(0.04) * (v * v) + T(5) * v + T(140) - u + current) * T(1000) * dt;
    const auto fired = voltage >= T(30);
    out = select(fired, height, T(0));
    voltage = select(fired, reset_voltage, voltage);
    const V recovery = u + tau_recovery * (coupling * voltage - u) * T(1000) * dt;
    s[0] = voltage;
    s[1] = select(fired, recovery + reset_recovery, recovery);
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
