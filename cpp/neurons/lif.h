// Leaky integrate and fire: tau_rc dv/dt = J - v, a spike at v = 1, then tau_ref at rest. The spike's time within the
// step is found exactly (log1p), so that the refractory period may end within a step (expm1).
#pragma once

#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct LIF {
  static constexpr const char* name = "LIF";
  static constexpr const char* parameters[] = {"tau_rc", "tau_ref", "min_voltage", "amplitude", nullptr};
  static constexpr const char* states[] = {"voltage", "refractory_time", nullptr};
  static constexpr bool draws = false;
  static constexpr int settled = 1;  // settle gives the refractory time
  T dt;                              // s
  T tau_rc;                          // s, membrane
  T tau_ref;                         // s, refractory period
  T min_voltage;                     // the voltage never falls below
  T height;                          // of a spike: amplitude / dt
  T decay;                           // over a whole step: expm1(-dt / tau_rc)

  LIF(const double* p, double step)
      : dt(T(step)),
        tau_rc(T(p[0])),
        tau_ref(T(p[1])),
        min_voltage(T(p[2])),
        height(T(p[3] / step)),
        decay(expm1(-T(step) / T(p[0]))) {}

  // The refractory time runs down; delta: how much of this step is left after it. True where it ends within this step.
  template <class V>
  NDL_HD auto open(V, V* s, V& delta) const {
    const V refractory = s[1] - dt, left = dt - refractory;
    delta = select(left < T(0), T(0), select(left > dt, dt, left));
    s[1] = refractory;
    const auto waking = (delta != dt) & (delta != T(0));
    delta = select(waking, delta, select(delta == dt, decay, T(0)));
    return waking;
  }

  template <class V>
  NDL_HD V wake(V delta) const {
    return expm1(-delta / tau_rc);
  }

  // The voltage approaches the current; change: expm1 of -delta/tau_rc. True where a neuron fires.
  template <class V>
  NDL_HD auto close(V J, V& out, V* s, V& change, V& current) const {
    const V voltage = s[0] - (J - s[0]) * change;
    const auto fired = voltage > T(1);
    out = select(fired, height, T(0));
    s[0] = select(fired, T(0), select(voltage < min_voltage, min_voltage, voltage));
    change = voltage;
    current = J;
    return fired;
  }

  // The refractory time after a spike that came when the voltage passed 1.
  template <class V>
  NDL_HD V settle(V voltage, V current) const {
    const V time = dt + tau_rc * log1p(-(voltage - T(1)) / (current - T(1)));
    return tau_ref + time;
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
