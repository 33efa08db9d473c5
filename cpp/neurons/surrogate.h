// What stands for the derivative of a spike: a bump h(u) of the distance u between membrane and threshold, in units of
// the way from reset to threshold; h(0) = 1. The formulas and papers are in python/nengo_dl/surrogates.py.
// To add one: a struct with its name in a program and the bump by x = |u| / width; and its line in NDL_SURROGATES.
#pragma once

#include "math/math.h"

namespace nengo_dl {
namespace NDL_ISA {

struct SuperSpike {
  static constexpr const char* name = "superspike";
  template <class T, class V>
  static NDL_HD V bump(V x) {
    return T(1) / ((T(1) + x) * (T(1) + x));
  }
};

struct Arctan {
  static constexpr const char* name = "arctan";
  template <class T, class V>
  static NDL_HD V bump(V x) {
    const V y = T(3.14159265358979323846) * x;
    return T(1) / (T(1) + y * y);
  }
};

struct Triangle {
  static constexpr const char* name = "triangle";
  template <class T, class V>
  static NDL_HD V bump(V x) {
    return at_least(T(1) - x, T(0));
  }
};

struct Logistic {
  static constexpr const char* name = "logistic";
  template <class T, class V>
  static NDL_HD V bump(V x) {
    const V e = exp(-x);
    return T(4) * e / ((T(1) + e) * (T(1) + e));
  }
};

#define NDL_SURROGATES(X) \
  X(SuperSpike)           \
  X(Arctan)               \
  X(Triangle)             \
  X(Logistic)

#define NDL_SURROGATE_NUMBER(Type) number_of_##Type,
enum SurrogateNumber { NDL_SURROGATES(NDL_SURROGATE_NUMBER) };

template <class T>
struct Surrogate {
  int number;  // of NDL_SURROGATES
  T scale;     // 1 / width

  Surrogate(int n, double width) : number(n), scale(T(1.0 / width)) {}

  template <class V>
  NDL_HD V operator()(V u) const {
    const V x = scale * select(u < T(0), -u, u);
#define NDL_SURROGATE_CASE(Type) \
  case number_of_##Type:         \
    return Type::bump<T>(x);
    switch (number) { NDL_SURROGATES(NDL_SURROGATE_CASE) }
#undef NDL_SURROGATE_CASE
    return V{};  // there is no other number
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
