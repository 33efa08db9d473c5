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
  T dt;           // s
  T tau_rc;       // s, membrane
  T tau_ref;      // s, refractory period
  T min_voltage;  // the voltage never falls below
  T height;       // of a spike: amplitude / dt
  T decay;        // over a whole step: expm1(-dt / tau_rc)

  LIF(const double* p, double step)
      : dt(T(step)),
        tau_rc(T(p[0])),
        tau_ref(T(p[1])),
        min_voltage(T(p[2])),
        height(T(p[3] / step)),
        decay(expm1(-T(step) / T(p[0]))) {}

  template <class V>
  NDL_HD void step(V J, V& out, V* s) const {
    V voltage = s[0], refractory = s[1] - dt;
    const V left = dt - refractory;
    const V delta = select(left < T(0), T(0), select(left > dt, dt, left));
    V change = select(delta == dt, decay, T(0));
    const auto waking = (delta != dt) & (delta != T(0));  // the refractory period ends within this step
    if (any(waking)) change = select(waking, expm1(-delta / tau_rc), change);
    voltage = voltage - (J - voltage) * change;
    const auto fired = voltage > T(1);
    out = select(fired, height, T(0));
    V settled = select(voltage < min_voltage, min_voltage, voltage);
    if (any(fired)) {
      const V time = dt + tau_rc * log1p(-(voltage - T(1)) / (J - T(1)));  // from the step's start to the spike
      settled = select(fired, T(0), settled);
      refractory = select(fired, tau_ref + time, refractory);
    }
    s[0] = settled;
    s[1] = refractory;
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
