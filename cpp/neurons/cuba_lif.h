// Current-based leaky integrate and fire, as NIR defines it: tau_syn dI/dt = w_in J - I, tau_mem dv/dt = v_leak - v + r
// I; where v is above v_threshold at the end of a step there is a spike, and v is set to v_reset or lowered by the way
// from there to the threshold. With J constant in a step, I and v are exact up to the reset.
#pragma once

#include "neurons/cuba_lif_rate.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct CubaLIF {
  static constexpr const char* name = "CubaLIF";
  static constexpr const char* parameters[] = {"tau_syn", "tau_mem", "r",         "v_leak", "v_threshold",
                                               "v_reset", "w_in",    "amplitude", nullptr};
  static constexpr const char* flags[] = {"subtractive_reset", nullptr};
  static constexpr const char* states[] = {"current", "voltage", nullptr};
  static constexpr bool draws = false;
  static constexpr bool spikes = true;
  static constexpr const char* rate_form = "CubaLIFRate";
  static constexpr unsigned grad_reads = kJ | state_bit(0) | state_bit(1);
  static constexpr unsigned slope_reads = kJ | state_bit(0);
  CubaLIFRate<T> base;
  T v_reset;
  T height;       // of a spike: amplitude / dt
  T rise;         // of the voltage in a step, of the way to where the input leads
  T late;         // how much of r (I - w_in J) reaches the voltage in a step
  bool subtract;  // the reset

  CubaLIF(const double* p, double dt)
      : base(p, dt),
        v_reset(T(p[5])),
        height(T(p[7] / dt)),
        rise(T(-__builtin_expm1(-dt / p[1]))),
        late(T(lateness(p[0], p[1], dt))),
        subtract(p[8] != 0) {}

  // tau_syn / (tau_syn - tau_mem) (exp(-dt / tau_syn) - exp(-dt / tau_mem)), also where both are equal.
  static double lateness(double tau_syn, double tau_mem, double dt) {
    if (!(tau_syn > 0)) return 0;
    const double a = dt / tau_mem, b = dt / tau_syn, x = -__builtin_fabs(a - b);
    const double part = x == 0 ? 1 : __builtin_expm1(x) / x;
    return a * __builtin_exp(a < b ? -a : -b) * part;  // times the larger of both, so that nothing overflows
  }

  template <class V>
  NDL_HD V voltage(V J, const V* s) const {
    const V steady = base.w_in * J;
    const V to = base.v_leak + base.r * steady;
    return s[1] + (to - s[1]) * rise + base.r * (s[0] - steady) * late;
  }

  template <class V>
  NDL_HD void step(V J, V& out, V* s) const {
    const V v = voltage(J, s);
    const auto fired = v > base.v_threshold;
    out = select(fired, height, T(0));
    s[0] = base.current(J, s);
    s[1] = select(fired, subtract ? v - base.way : V{} + v_reset, v);
  }

  template <class V>
  NDL_HD V grad(const Surrogate<T>& h, V J, const V* s, V g, V* a) const {
    const V above = voltage(J, s) - base.v_threshold;
    const V kept = subtract ? a[1] : select(above > T(0), T(0), a[1]);
    const V by_v = kept + g * (height / base.way) * h(above / base.way);
    const V by_I = a[0], late_v = by_v * (base.r * late);
    a[0] = by_I - by_I * base.rise + late_v;
    a[1] = by_v - by_v * rise;
    return base.w_in * (by_I * base.rise + by_v * (base.r * rise) - late_v);
  }
  // Of the rate that the present current has in the long run, by an input that lasts.
  template <class V>
  NDL_HD V slope(V J, const V* s) const {
    return base.rate.slope_of(base.above(base.current(J, s))) * (base.w_in * base.r / base.way);
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
