// Rectified linear rate: out = amplitude max(0, J).
#pragma once

#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct RectifiedLinear {
  static constexpr const char* name = "RectifiedLinear";
  static constexpr const char* parameters[] = {"amplitude", nullptr};
  static constexpr const char* states[] = {nullptr};
  static constexpr bool draws = false;
  static constexpr bool spikes = false;
  static constexpr unsigned grad_reads = kJ;
  T amplitude;  // Hz per unit of current

  RectifiedLinear(const double* p, double) : amplitude(T(p[0])) {}

  template <class V>
  NDL_HD void step(V J, V& out, V*) const {
    out = amplitude * at_least(J, T(0));
  }
  template <class V>
  NDL_HD V grad(V J, const V*, V g, V*) const {
    return select(J > T(0), g * amplitude, T(0));
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
