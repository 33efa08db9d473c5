// Poisson distributed numbers as NumPy's RandomState draws them, number for number.
#pragma once

#include <math.h>
#include <stdint.h>

#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {

// log(Gamma(x)) for whole x >= 1 by Stirling's series, as Zhang and Jin (1996), Computation of Special Functions, 3.1.
NDL_HD double log_gamma(double x) {
  constexpr double series[10] = {8.333333333333333e-02,  -2.777777777777778e-03, 7.936507936507937e-04,
                                 -5.952380952380952e-04, 8.417508417508418e-04,  -1.917526917526918e-03,
                                 6.410256410256410e-03,  -2.955065359477124e-02, 1.796443723688307e-01,
                                 -1.39243221690590e+00};
  if (x == 1.0 || x == 2.0) return 0.0;
  const int lift = x < 7.0 ? static_cast<int>(7 - x) : 0;  // the series needs x >= 7
  double top = x + lift;
  const double z = (1.0 / top) * (1.0 / top);
  double sum = series[9];
  for (int k = 8; k >= 0; k--) sum = sum * z + series[k];
  double result = sum / top + 0.5 * 1.8378770664093453e+00 + (top - 0.5) * ::log(top) - top;
  for (int k = 0; k < lift; k++) {
    result -= ::log(top - 1.0);
    top -= 1.0;
  }
  return result;
}

// Multiplies uniform numbers until the product falls below exp(-mean).
template <class Random>
NDL_HD double poisson_small(double end, Random& random) {
  double count = 0.0, product = random.sample();
  while (product > end) {
    count += 1.0;
    product *= random.sample();
  }
  return count;
}

#ifdef __CUDACC__
#define NDL_SELDOM NDL_HD
#else
#define NDL_SELDOM __attribute__((noinline))  // its numbers take no registers from what runs most often
#endif

// Hoermann (1993), The transformed rejection method for generating Poisson random variables, algorithm PTRS.
template <class Random>
NDL_SELDOM double poisson_large(double mean, double root, Random& random) {
  constexpr int kMaxTries = 10000;  // only a broken key (all zeros) gets there
  const double b = 0.931 + 2.53 * root, a = -0.059 + 0.02483 * b;
  const double v_accept = 0.9277 - 3.6224 / (b - 2);
  for (int i = 0; i < kMaxTries; i++) {
    const double u = random.sample() - 0.5, v = random.sample();
    const double us = 0.5 - ::fabs(u);
    const double k = ::floor((2 * a / us + b) * u + mean + 0.43);
    if (us >= 0.07 && v <= v_accept) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    const double density = -mean + k * ::log(mean) - log_gamma(k + 1);
    if (::log(v) + ::log(inverse_alpha) - ::log(a / (us * us) + b) <= density) return k;
  }
  return __builtin_nan("");
}

constexpr double kPoissonLarge = 10.0;

// What a mean is drawn with, for poisson(): 0 if nothing is drawn for it.
NDL_HD double poisson_start(double mean) {
  return mean >= kPoissonLarge ? ::sqrt(mean) : mean > 0.0 ? ::exp(-mean) : 0.0;
}

// A whole number; NaN for a mean that NumPy refuses.
template <class Random>
NDL_HD double poisson(double mean, double start, Random& random) {
  constexpr double largest = 9.223372006484771e18;  // of NumPy: what fits an int64 for sure
  if (start == 0.0) return mean == 0.0 ? 0.0 : __builtin_nan("");
  if (mean < kPoissonLarge) return poisson_small(start, random);
  return mean <= largest ? poisson_large(mean, start, random) : __builtin_nan("");
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
