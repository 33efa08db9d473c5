// Leaky integrate and fire: tau_rc dv/dt = J - v, a spike at v = 1, then tau_ref at rest. The spike's time within the
// step is found exactly (log1p), so that the refractory period may end within a step (expm1).
#pragma once

#include "neurons/lif_rate.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct LIF {
  static constexpr const char* name = "LIF";
  static constexpr const char* parameters[] = {"tau_rc", "tau_ref", "min_voltage", "amplitude", nullptr};
  static constexpr const char* states[] = {"voltage", "refractory_time", nullptr};
  static constexpr bool draws = false;
  static constexpr bool spikes = true;
  static constexpr const char* rate_form = "LIFRate";
  static constexpr unsigned grad_reads = kJ | state_bit(0) | state_bit(1);
  static constexpr unsigned slope_reads = kJ;
  static constexpr unsigned settled = state_bit(1);
  T dt;           // s
  T tau_rc;       // s, membrane
  T tau_ref;      // s, refractory period
  T min_voltage;  // the voltage never falls below
  T height;       // of a spike: amplitude / dt
  LIFRate<T> rate;
  bool slow;   // a step is short against tau_rc, so that few terms make expm1
  T terms[5];  // in single precision: expm1(-t / tau_rc) / t = terms[0] + terms[1] t + ...

  LIF(const double* p, double step)
      : dt(T(step)),
        tau_rc(T(p[0])),
        tau_ref(T(p[1])),
        min_voltage(T(p[2])),
        height(T(p[3] / step)),
        rate(T(p[0]), T(p[1]), T(p[3])),
        slow(step < (sizeof(T) == 4 ? 0.1 : 0.34) * p[0]) {
    double term = 1;
    for (int k = 0; k < 5; k++) term *= -1 / p[0] / (k + 1), terms[k] = T(term);
  }

  // expm1(-delta / tau_rc) / delta if the step is slow, in few operations that depend on one another.
  template <class V>
  NDL_HD V pace(V delta) const {
    const V square = delta * delta;
    const V first = fma(delta, V{} + terms[1], terms[0]), second = fma(delta, V{} + terms[3], terms[2]);
    return fma(square, fma(square, V{} + terms[4], second), first);
  }

  // How far the voltage goes from the current in the time delta: expm1(-delta / tau_rc). In double precision the terms
  // are those of expm1 itself, which then reduces nothing.
  template <class V>
  NDL_HD V change(V delta) const {
    const V x = -delta / tau_rc;
    if (!slow) return expm1(x);
    if constexpr (sizeof(T) == 4) return delta * pace(delta);
    return x + expm1_tail(x);
  }

  // The voltage after the time delta.
  template <class V>
  NDL_HD V moved(V voltage, V J, V delta) const {
    if constexpr (sizeof(T) == 4)
      if (slow) return fma((voltage - J) * delta, pace(delta), voltage);
    return voltage - (J - voltage) * change(delta);
  }

  // How much of the step is left when the refractory time is over.
  template <class V>
  NDL_HD V moving(V refractory) const {
    return at_least(at_most(dt - refractory, dt), T(0));
  }

  // The refractory time runs down; what is left of the step after it moves the voltage. True where a neuron fires;
  // there s[1] keeps the voltage for `settle`.
  template <class V>
  NDL_HD auto step(V J, V& out, V* s) const {
    const V refractory = s[1] - dt, voltage = moved(s[0], J, moving(refractory));
    const auto fired = voltage > T(1);
    out = select(fired, height, T(0));
    s[0] = select(fired, T(0), at_least(voltage, min_voltage));
    s[1] = select(fired, voltage, refractory);
    return fired;
  }

  // The refractory time after a spike that came when the voltage passed 1 on its way to s[1].
  template <class V>
  NDL_HD void settle(V J, V* s) const {
    const V time = dt + tau_rc * log1p(-(s[1] - T(1)) / (J - T(1)));
    s[1] = tau_ref + time;
  }

  template <class V>
  struct Pull {
    V by_spike, k;
    decltype((V{} > V{}) & (V{} > V{})) kept;  // the voltage was neither reset nor clipped
  };
  template <class V>
  NDL_HD Pull<V> pull(const Surrogate<T>& h, V J, const V* s, V g) const {
    const V delta = moving(s[1] - dt), voltage = moved(s[0], J, delta);
    return {g * height * h(voltage - T(1)), change(delta), (voltage <= T(1)) & (voltage >= min_voltage)};
  }
  template <class V>
  NDL_HD V follow(const Pull<V>& pull, V* a) const {
    const V by_voltage = select(pull.kept, a[0], T(0)) + pull.by_spike;
    a[0] = by_voltage + by_voltage * pull.k;
    a[1] = V{};
    return -(by_voltage * pull.k);
  }
  template <class V>
  NDL_HD V grad(const Surrogate<T>& h, V J, const V* s, V g, V* a) const {
    return follow(pull(h, J, s, g), a);
  }
  template <class V>
  NDL_HD V slope(V J, const V*) const {
    return rate.slope(J);
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
