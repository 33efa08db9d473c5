// Leaky rectified linear rate: out = amplitude J for J > 0, else amplitude negative_slope J.
#pragma once

#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct LeakyReLU {
  static constexpr const char* name = "LeakyReLU";
  static constexpr const char* parameters[] = {"negative_slope", "amplitude", nullptr};
  static constexpr const char* states[] = {nullptr};
  static constexpr bool draws = false;
  static constexpr bool spikes = false;
  static constexpr unsigned grad_reads = kJ;
  T negative_slope;
  T amplitude;  // Hz per unit of current

  LeakyReLU(const double* p, double) : negative_slope(T(p[0])), amplitude(T(p[1])) {}

  template <class V>
  NDL_HD V leak(V J) const {
    return select(J > T(0), J, negative_slope * J);
  }
  template <class V>
  NDL_HD V slope(V J) const {
    return select(J > T(0), T(1), V{} + negative_slope);
  }

  template <class V>
  NDL_HD void step(V J, V& out, V*) const {
    out = amplitude * leak(J);
  }
  template <class V>
  NDL_HD V grad(V J, const V*, V g, V*) const {
    return g * amplitude * slope(J);
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
