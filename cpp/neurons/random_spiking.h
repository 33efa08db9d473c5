// Random spikes at the rate J of a base type. Random numbers come from NumPy's generator, in the order of the neurons.
#pragma once

#include "engine/random.h"
#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct RandomSpiking {
  static constexpr const char* parameters[] = {"amplitude", "negative", nullptr};
  static constexpr const char* states[] = {nullptr};
  static constexpr bool draws = true;
  T dt;           // s
  T height;       // of one spike: amplitude / dt
  bool negative;  // the base type's rates may be negative: spikes have the sign of the rate

  RandomSpiking(const double* p, double step) : dt(T(step)), height(T(p[0] / step)), negative(p[1] != 0) {}

  NDL_HD T mean(T J) const { return dt * (negative && J < T(0) ? -J : J); }
  NDL_HD T spikes(T J, T n) const {
    if (!negative) return height * n;
    return height * n * (J > T(0) ? T(1) : J < T(0) ? T(-1) : J);  // a NaN stays one
  }
};

// The whole part of J dt spikes, and one more with the rest as its probability.
template <class T>
struct StochasticSpiking : RandomSpiking<T> {
  static constexpr const char* name = "StochasticSpiking";
  using RandomSpiking<T>::RandomSpiking;

  void step(const T* J, T* out, long n, int32_t* generator) const {
    for (long i = 0; i < n; i++) {
      const T mean = this->mean(J[i]);
      const T whole = mean < T(0) ? -floor(-mean) : floor(mean);
      const T rest = whole == mean ? T(0) : mean - whole;  // infinity has no rest
      const T extra = random_sample(generator) < double(rest) ? T(1) : T(0);
      out[i] = this->spikes(J[i], whole + extra);
    }
  }
};

// A Poisson distributed number of spikes with mean J dt. A mean that NumPy refuses (negative, NaN, huge) gives NaN.
template <class T>
struct PoissonSpiking : RandomSpiking<T> {
  static constexpr const char* name = "PoissonSpiking";
  using RandomSpiking<T>::RandomSpiking;

  void step(const T* J, T* out, long n, int32_t* generator) const {
    for (long i = 0; i < n; i++) {
      out[i] = this->spikes(J[i], T(random_poisson(generator, double(this->mean(J[i])))));
    }
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
