// Random spikes at the rate J of a base type. Random numbers come from NumPy's generator, in the order of the neurons;
// `random` is the backend's way to it.
#pragma once

#include "neurons/neuron.h"
#include "neurons/poisson.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct RandomSpiking {
  static constexpr const char* parameters[] = {"amplitude", nullptr};
  static constexpr const char* flags[] = {"negative", nullptr};
  static constexpr const char* states[] = {nullptr};
  static constexpr bool draws = true;
  static constexpr bool draws_one = false;  // one sample for each neuron and step
  static constexpr bool spikes = true;
  static constexpr const char* rate_form = "LeakyReLU";
  static constexpr unsigned grad_reads = 0;
  static constexpr unsigned slope_reads = 0;
  T dt;           // s
  T height;       // of one spike: amplitude / dt
  T amplitude;    // of the base type's rate
  bool negative;  // the base type's rates may be negative: spikes have the sign of the rate

  RandomSpiking(const double* p, double step)
      : dt(T(step)), height(T(p[0] / step)), amplitude(T(p[0])), negative(p[1] != 0) {}

  NDL_HD T mean(T J) const { return dt * (negative && J < T(0) ? -J : J); }
  NDL_HD T output(T J, T n) const {
    if (!negative) return height * n;
    return height * n * (J > T(0) ? T(1) : J < T(0) ? T(-1) : J);  // a NaN stays one
  }

  // No membrane: any surrogate is the derivative of the expected output.
  template <class V>
  NDL_HD V grad(const Surrogate<T>&, V, const V*, V g, V*) const {
    return g * amplitude;
  }
  template <class V>
  NDL_HD V slope(V, const V*) const {
    return V{} + amplitude;
  }
};

// The whole part of J dt spikes, and one more with the rest as its probability.
template <class T>
struct StochasticSpiking : RandomSpiking<T> {
  static constexpr const char* name = "StochasticSpiking";
  static constexpr bool draws_one = true;
  using RandomSpiking<T>::RandomSpiking;

  template <class Random>
  NDL_HD T step(T J, Random& random) const {
    const T mean = this->mean(J);
    const T whole = mean < T(0) ? -floor(-mean) : floor(mean);
    const T rest = whole == mean ? T(0) : mean - whole;  // infinity has no rest
    return this->output(J, whole + (random.sample() < double(rest) ? T(1) : T(0)));
  }
};

// A Poisson distributed number of spikes with mean J dt. A mean that NumPy refuses (negative, NaN, huge) gives NaN.
template <class T>
struct PoissonSpiking : RandomSpiking<T> {
  static constexpr const char* name = "PoissonSpiking";
  using RandomSpiking<T>::RandomSpiking;

  // What a step needs that takes long and draws nothing. Kernels ask for that of several neurons beforehand, or they
  // would wait for it whenever the processor has guessed the number of spikes wrong.
  NDL_HD double start(T J) const { return poisson_start(double(this->mean(J))); }
  template <class Random>
  NDL_HD T step(T J, double start, Random& random) const {
    return this->output(J, T(poisson(double(this->mean(J)), start, random)));
  }
  template <class Random>
  NDL_HD T step(T J, Random& random) const {
    return step(J, start(J), random);
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
