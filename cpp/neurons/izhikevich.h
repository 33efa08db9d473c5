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
  static constexpr bool spikes = true;
  static constexpr unsigned grad_reads = kJ | state_bit(0) | state_bit(1);
  static constexpr unsigned slope_reads = 0;
  T dt;              // s
  T tau_recovery;    // a: rate of the recovery variable, 1/ms
  T coupling;        // b: how recovery follows the voltage
  T reset_voltage;   // c, mV
  T reset_recovery;  // d
  T height;          // of a spike: 1 / dt
  T distance;        // from reset to threshold, mV

  Izhikevich(const double* p, double step)
      : dt(T(step)),
        tau_recovery(T(p[0])),
        coupling(T(p[1])),
        reset_voltage(T(p[2])),
        reset_recovery(T(p[3])),
        height(T(1.0 / step)),
        distance(at_least(T(30) - reset_voltage, T(1))) {}

  template <class V>
  NDL_HD V euler(V v, V u, V J) const {
    const V current = at_least(J, T(-30));  // below, the Euler steps diverge
    return v + (T(0.04) * (v * v) + T(5) * v + T(140) - u + current) * T(1000) * dt;
  }

  template <class V>
  NDL_HD void step(V J, V& out, V* s) const {
    const V u = s[1];
    V voltage = euler(s[0], u, J);
    const auto fired = voltage >= T(30);
    out = select(fired, height, T(0));
    voltage = select(fired, reset_voltage, voltage);
    const V recovery = u + tau_recovery * (coupling * voltage - u) * T(1000) * dt;
    s[0] = voltage;
    s[1] = select(fired, recovery + reset_recovery, recovery);
  }

  template <class V>
  NDL_HD V grad(const Surrogate<T>& h, V J, const V* s, V g, V* a) const {
    const T ms = T(1000) * dt;
    const V voltage = euler(s[0], s[1], J);
    const V kept = select(voltage >= T(30), T(0), a[0] + a[1] * (tau_recovery * coupling * ms));
    const V by_voltage = kept + g * (height / distance) * h((voltage - T(30)) / distance);
    a[0] = by_voltage * (T(1) + (T(0.08) * s[0] + T(5)) * ms);
    a[1] = a[1] - a[1] * (tau_recovery * ms) - by_voltage * ms;
    return select(J >= T(-30), by_voltage * ms, T(0));
  }
  // No closed form of the rate: that of a neuron that adds up its input from reset to threshold.
  template <class V>
  NDL_HD V slope(V, const V*) const {
    return V{} + T(1000) / distance;
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
