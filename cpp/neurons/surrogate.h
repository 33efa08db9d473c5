// What stands for the derivative of a spike: a bump h(u) of the distance u between membrane and threshold, in units of
// the way from reset to threshold; h(0) = 1. The formulas and papers are in python/nengo_dl/surrogates.py.
#pragma once

#include "kernels/neurons.h"
#include "math/math.h"

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct Surrogate {
  SurrogateKind kind;
  T scale;  // 1 / width, times pi for arctan

  Surrogate(SurrogateKind k, double width)
      : kind(k), scale(T((k == SurrogateKind::arctan ? 3.14159265358979323846 : 1.0) / width)) {}

  template <class V>
  NDL_HD V operator()(V u) const {
    const V x = scale * select(u < T(0), -u, u);
    switch (kind) {
      case SurrogateKind::superspike:
        return T(1) / ((T(1) + x) * (T(1) + x));
      case SurrogateKind::arctan:
        return T(1) / (T(1) + x * x);
      default:
        return at_least(T(1) - x, T(0));
    }
  }
};

// Of neurons that spike once for each whole unit of voltage: the distance to the nearest of the thresholds 1, 2, ..
template <class V>
NDL_HD V above_nearest_unit(V voltage) {
  using T = typename Lane<V>::scalar;
  return voltage - at_least(floor(voltage + T(0.5)), T(1));
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
