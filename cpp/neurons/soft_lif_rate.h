// Rate of the leaky integrate-and-fire neuron with a smooth threshold (Hunsberger and Eliasmith 2015, Spiking deep
// networks with LIF neurons): out = amplitude / (tau_ref + tau_rc log(1 + 1/z)), z = sigma log(1 + exp((J - 1)/sigma)).
#pragma once

#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct SoftLIFRate {
  static constexpr const char* name = "SoftLIFRate";
  static constexpr const char* parameters[] = {"sigma", "tau_rc", "tau_ref", "amplitude", nullptr};
  static constexpr const char* states[] = {nullptr};
  static constexpr bool draws = false;
  static constexpr bool spikes = false;
  static constexpr unsigned grad_reads = kJ;
  static constexpr T far = sizeof(T) == 4 ? T(-20) : T(-40);  // below, log(1 + exp(x)) is exp(x) to the last bit
  T sigma;                                                    // width of the smooth threshold
  T tau_rc;                                                   // s, membrane
  T tau_ref;                                                  // s, refractory period
  T amplitude;
  T log_sigma;

  SoftLIFRate(const double* p, double)
      : sigma(T(p[0])), tau_rc(T(p[1])), tau_ref(T(p[2])), amplitude(T(p[3])), log_sigma(T(__builtin_log(p[0]))) {}

  // What step and grad share: x = (J - 1)/sigma, e = exp(-|x|), z, and q, the time between spikes.
  // For far negative x, where z vanishes, log(1 + 1/z) = log(1 + z) - log(z) and log(z) = x + log(sigma).
  template <class V>
  struct Soft {
    V x, e, z, q;
  };
  template <class V>
  NDL_HD Soft<V> soft(V J) const {
    Soft<V> o;
    const V j = J - T(1);
    o.x = j / sigma;
    const auto low = o.x < far;
    o.e = exp(select(o.x < T(0), o.x, -o.x));
    o.z = at_least(j, T(0)) + sigma * log1p(o.e);
    const V safe = select(low, T(1), o.z);
    const V l = log1p(select(low, o.z, T(1) / safe));
    o.q = tau_ref + tau_rc * select(low, l - (o.x + log_sigma), l);
    return o;
  }

  template <class V>
  NDL_HD void step(V J, V& out, V*) const {
    out = amplitude / soft(J).q;
  }

  // amplitude tau_rc z' / (q^2 z (z + 1)) with z' = 1 / (1 + exp(-x)); for far negative x, z'/z is 1/sigma
  template <class V>
  NDL_HD V grad(V J, const V*, V g, V*) const {
    const Soft<V> o = soft(at_most(J, T(1e30)));
    const auto low = o.x < far;
    const V rise = select(o.x < T(0), o.e, T(1)) / (T(1) + o.e);
    const V slope = (amplitude * tau_rc) / (o.q * select(low, sigma, o.z)) / (o.q * (T(1) + o.z));
    return g * (slope * select(low, T(1), rise));
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
