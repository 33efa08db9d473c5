// Steady rate of the leaky integrate-and-fire neuron:
// out = amplitude / (tau_ref + tau_rc log(1 + 1/(J - 1))) for J > 1.
#pragma once

#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct LIFRate {
  static constexpr const char* name = "LIFRate";
  static constexpr const char* parameters[] = {"tau_rc", "tau_ref", "amplitude", nullptr};
  static constexpr const char* states[] = {nullptr};
  static constexpr bool draws = false;
  static constexpr bool spikes = false;
  static constexpr unsigned grad_reads = kJ;
  T tau_rc;   // s, membrane
  T tau_ref;  // s, refractory period
  T amplitude;

  LIFRate(T rc, T ref, T factor) : tau_rc(rc), tau_ref(ref), amplitude(factor) {}
  LIFRate(const double* p, double) : tau_rc(T(p[0])), tau_ref(T(p[1])), amplitude(T(p[2])) {}

  // The rate by how far the current is above the threshold, in units of it.
  template <class V>
  NDL_HD V of(V above) const {
    const auto fires = above > T(0);
    const V j = select(fires, above, T(1));  // 1: any number without trouble
    return select(fires, amplitude / (tau_ref + tau_rc * log1p(T(1) / j)), T(0));
  }
  // Its derivative. With the time between spikes q = tau_ref + tau_rc log(1 + 1/j) it is
  // amplitude tau_rc / (q^2 j (j + 1)), here in factors that neither overflow nor vanish.
  template <class V>
  NDL_HD V slope_of(V above) const {
    const auto fires = above > T(0);
    const V j = select(fires, at_most(above, T(1e30)), T(1));
    const V q = tau_ref + tau_rc * log1p(T(1) / j), p = q * j;
    return select(fires, (amplitude * tau_rc) / p / (p + q), T(0));
  }

  template <class V>
  NDL_HD void step(V J, V& out, V*) const {
    out = of(J - T(1));
  }
  template <class V>
  NDL_HD V slope(V J) const {
    return slope_of(J - T(1));
  }
  template <class V>
  NDL_HD V grad(V J, const V*, V g, V*) const {
    return g * slope(J);
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
