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
  // The way back: a is the derivative by the new n.
  template <class V>
  NDL_HD V by_out(V a) const {
    return a * (rate * inc_n);
  }
  template <class V>
  NDL_HD V by_old(V a) const {
    return a - a * rate;
  }
};

template <class T>
struct AdaptiveLIFRate {
  static constexpr const char* name = "AdaptiveLIFRate";
  static constexpr const char* parameters[] = {"tau_rc", "tau_ref", "amplitude", "tau_n", "inc_n", nullptr};
  static constexpr const char* states[] = {"adaptation", nullptr};
  static constexpr bool draws = false;
  static constexpr bool spikes = false;
  static constexpr unsigned grad_reads = kJ | state_bit(0);
  LIFRate<T> base;
  Adaptation<T> adaptation;

  AdaptiveLIFRate(const double* p, double dt) : base(p, dt), adaptation(p[3], p[4], dt) {}

  template <class V>
  NDL_HD void step(V J, V& out, V* s) const {
    base.step(J - s[0], out, s);
    s[0] = adaptation.next(s[0], out);
  }
  template <class V>
  NDL_HD V grad(V J, const V* s, V g, V* a) const {
    const V by_J = (g + adaptation.by_out(a[0])) * base.slope(J - s[0]);
    a[0] = adaptation.by_old(a[0]) - by_J;
    return by_J;
  }
};

template <class T>
struct AdaptiveLIF {
  static constexpr const char* name = "AdaptiveLIF";
  static constexpr const char* parameters[] = {"tau_rc", "tau_ref", "min_voltage", "amplitude",
                                               "tau_n",  "inc_n",   nullptr};
  static constexpr const char* states[] = {"voltage", "refractory_time", "adaptation", nullptr};
  static constexpr bool draws = false;
  static constexpr bool spikes = true;
  static constexpr const char* rate_form = "AdaptiveLIFRate";
  static constexpr unsigned grad_reads = kJ | state_bit(0) | state_bit(1) | state_bit(2);
  static constexpr unsigned slope_reads = kJ | state_bit(2);
  static constexpr unsigned settled = LIF<T>::settled | state_bit(2);
  LIF<T> base;
  Adaptation<T> adaptation;

  AdaptiveLIF(const double* p, double dt) : base(p, dt), adaptation(p[4], p[5], dt) {}

  template <class V>
  NDL_HD auto step(V J, V& out, V* s) const {  // the current that fired is wanted once more
    const auto fired = base.step(J - s[2], out, s);
    s[2] = select(fired, s[2], adaptation.next(s[2], V{}));
    return fired;
  }
  template <class V>
  NDL_HD void settle(V J, V* s) const {
    base.settle(J - s[2], s);
    s[2] = adaptation.next(s[2], V{} + base.height);
  }
  template <class V>
  NDL_HD V grad(const Surrogate<T>& h, V J, const V* s, V g, V* a) const {
    const V by_J = base.grad(h, J - s[2], s, g + adaptation.by_out(a[2]), a);
    a[2] = adaptation.by_old(a[2]) - by_J;
    return by_J;
  }
  template <class V>
  NDL_HD V slope(V J, const V* s) const {
    return base.rate.slope(J - s[2]);
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
