// Adaptation for the LIF types: the input is lowered by n, and n follows the output: tau_n dn/dt = inc_n out - n.
#pragma once

#include "neurons/lif.h"
#include "neurons/lif_rate.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct Adaptation {
  T rate;   // dt / tau_n
  T inc_n;  // adaptation per unit of output

  Adaptation(double tau_n, double inc, double dt) : rate(T(dt / tau_n)), inc_n(T(inc)) {}

  template <class V>
  NDL_HD V next(V n, V out) const {
    return n + rate * (inc_n * out - n);
  }
};

template <class T>
struct AdaptiveLIFRate {
  static constexpr const char* name = "AdaptiveLIFRate";
  static constexpr const char* parameters[] = {"tau_rc", "tau_ref", "amplitude", "tau_n", "inc_n", nullptr};
  static constexpr const char* states[] = {"adaptation", nullptr};
  static constexpr bool draws = false;
  LIFRate<T> base;
  Adaptation<T> adaptation;

  AdaptiveLIFRate(const double* p, double dt) : base(p, dt), adaptation(p[3], p[4], dt) {}

  template <class V>
  NDL_HD void step(V J, V& out, V* s) const {
    base.step(J - s[0], out, s);
    s[0] = adaptation.next(s[0], out);
  }
};

template <class T>
struct AdaptiveLIF {
  static constexpr const char* name = "AdaptiveLIF";
  static constexpr const char* parameters[] = {"tau_rc", "tau_ref", "min_voltage", "amplitude",
                                               "tau_n",  "inc_n",   nullptr};
  static constexpr const char* states[] = {"voltage", "refractory_time", "adaptation", nullptr};
  static constexpr bool draws = false;
  static constexpr int settled = LIF<T>::settled;
  LIF<T> base;
  Adaptation<T> adaptation;

  AdaptiveLIF(const double* p, double dt) : base(p, dt), adaptation(p[4], p[5], dt) {}

  template <class V>
  NDL_HD auto step(V J, V& out, V* s, V& voltage, V& current) const {
    const auto fired = base.step(J - s[2], out, s, voltage, current);
    s[2] = adaptation.next(s[2], out);
    return fired;
  }
  template <class V>
  NDL_HD V settle(V voltage, V current) const {
    return base.settle(voltage, current);
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
