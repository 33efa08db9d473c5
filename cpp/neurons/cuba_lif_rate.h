// Rate of the current-based leaky integrate-and-fire neuron (cuba_lif.h, without spikes): the input is filtered to a
// current I, tau_syn dI/dt = w_in J - I, and the voltage that it leads to, v_leak + r I, has the rate of LIF neurons.
#pragma once

#include "neurons/lif_rate.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct CubaLIFRate {
  static constexpr const char* name = "CubaLIFRate";
  static constexpr const char* parameters[] = {"tau_syn", "tau_mem", "r",         "v_leak", "v_threshold",
                                               "v_reset", "w_in",    "amplitude", nullptr};
  static constexpr const char* states[] = {"current", nullptr};
  static constexpr bool draws = false;
  static constexpr bool spikes = false;
  static constexpr unsigned grad_reads = kJ | state_bit(0);
  T rise;  // of the current in a step, of the way to w_in J
  T r;     // volts per unit of current
  T v_leak, v_threshold;
  T way;  // from reset to threshold
  T w_in;
  LIFRate<T> rate;  // by the distance to the threshold in ways

  CubaLIFRate(const double* p, double dt)
      : rise(T(p[0] > 0 ? -__builtin_expm1(-dt / p[0]) : 1)),
        r(T(p[2])),
        v_leak(T(p[3])),
        v_threshold(T(p[4])),
        way(T(p[4] - p[5])),
        w_in(T(p[6])),
        rate(T(p[1]), T(0), T(p[7])) {}

  template <class V>
  NDL_HD V current(V J, const V* s) const {
    return s[0] + (w_in * J - s[0]) * rise;
  }
  template <class V>
  NDL_HD V above(V I) const {
    return (v_leak + r * I - v_threshold) / way;
  }

  template <class V>
  NDL_HD void step(V J, V& out, V* s) const {
    s[0] = current(J, s);
    out = rate.of(above(s[0]));
  }
  template <class V>
  NDL_HD V grad(V J, const V* s, V g, V* a) const {
    const V by_I = a[0] + g * (rate.slope_of(above(current(J, s))) * (r / way));
    a[0] = by_I - by_I * rise;
    return by_I * (w_in * rise);
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
