// The bodies of random.h, for a processor and for a GPU. Included by random.cpp and by sources of cpp/cuda only: the
// kernels of all instruction sets call the same ones.
#pragma once

#include <stdint.h>

#include <cmath>

#include "engine/api.h"

namespace nengo_dl {

// NumPy's RandomState on the words of a generator.
struct Twister {
  int32_t* g;

  NDL_BOTH double sample() const {
    const uint32_t high = next_word() >> 5, low = next_word() >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
  }

  static constexpr int kMaxTries = 10000;  // of a rejection method; only a broken key (all zeros) gets there

  NDL_BOTH double gauss() const {
    double now, later;
    if (take_kept(&now)) return now;
    for (int tries = 0; tries < kMaxTries; ++tries) {
      const double first = sample();
      if (!polar(first, sample(), &now, &later)) continue;
      keep(later);
      return now;
    }
    return __builtin_nan("");
  }
  // Two normal numbers of two samples; of a fifth of all pairs none.
  NDL_BOTH static bool polar(double first, double second, double* now, double* later) {
    const double x1 = 2.0 * first - 1.0, x2 = 2.0 * second - 1.0, square = x1 * x1 + x2 * x2;
    if (square >= 1.0 || square == 0.0) return false;
    const double factor = std::sqrt(-2.0 * std::log(square) / square);
    *now = factor * x2, *later = factor * x1;
    return true;
  }
  NDL_BOTH bool take_kept(double* number) const {
    if (!g[has_gauss]) return false;
    __builtin_memcpy(number, g + gauss_word, sizeof *number);
    g[has_gauss] = g[gauss_word] = g[gauss_word + 1] = 0;
    return true;
  }
  NDL_BOTH void keep(double number) const {
    __builtin_memcpy(g + gauss_word, &number, sizeof number);
    g[has_gauss] = 1;
  }

  NDL_BOTH double poisson(double mean) const {
    constexpr double largest = 9.223372006484771e18;  // of NumPy: what fits an int64 for sure
    if (!(mean >= 0.0 && mean <= largest)) return __builtin_nan("");
    if (mean >= 10.0) return poisson_large(mean);
    return mean == 0.0 ? 0.0 : poisson_small(mean);
  }

 private:
  static constexpr int kKey = 624, kMiddle = 397;
  enum Word { pos = kKey, has_gauss, gauss_word };

  NDL_BOTH uint32_t word(int i) const { return static_cast<uint32_t>(g[i]); }

  // Matsumoto and Nishimura (1998), ACM Trans. Modeling and Computer Simulation 8: the next 624 words of the key.
  NDL_BOTH void refill() const {
    for (int i = 0; i < kKey; i++) {
      const uint32_t y = (word(i) & 0x80000000u) | (word(i + 1 < kKey ? i + 1 : 0) & 0x7fffffffu);
      const int other = i + kMiddle < kKey ? i + kMiddle : i + kMiddle - kKey;
      g[i] = static_cast<int32_t>(word(other) ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0u));
    }
    g[pos] = 0;
  }

  NDL_BOTH uint32_t next_word() const {
    if (g[pos] < 0 || g[pos] >= kKey) refill();
    uint32_t y = word(g[pos]++);
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
  }

  // log(Gamma(x)) for whole x >= 1 by Stirling's series, as Zhang and Jin (1996), Computation of Special
  // Functions, 3.1.
  NDL_BOTH static double log_gamma(double x) {
    static constexpr double series[10] = {8.333333333333333e-02,  -2.777777777777778e-03, 7.936507936507937e-04,
                                          -5.952380952380952e-04, 8.417508417508418e-04,  -1.917526917526918e-03,
                                          6.410256410256410e-03,  -2.955065359477124e-02, 1.796443723688307e-01,
                                          -1.39243221690590e+00};
    if (x == 1.0 || x == 2.0) return 0.0;
    const int lift = x < 7.0 ? static_cast<int>(7 - x) : 0;  // the series needs x >= 7
    double top = x + lift;
    const double z = (1.0 / top) * (1.0 / top);
    double sum = series[9];
    for (int k = 8; k >= 0; k--) sum = sum * z + series[k];
    double result = sum / top + 0.5 * 1.8378770664093453e+00 + (top - 0.5) * std::log(top) - top;
    for (int k = 0; k < lift; k++) {
      result -= std::log(top - 1.0);
      top -= 1.0;
    }
    return result;
  }

  // Multiplies uniform numbers until the product falls below exp(-mean).
  NDL_BOTH double poisson_small(double mean) const {
    const double end = std::exp(-mean);
    double count = 0.0, product = sample();
    while (product > end) {
      count += 1.0;
      product *= sample();
    }
    return count;
  }

  // Hoermann (1993), The transformed rejection method for generating Poisson random variables, algorithm PTRS.
  NDL_BOTH double poisson_large(double mean) const {
    const double root = std::sqrt(mean), log_mean = std::log(mean);
    const double b = 0.931 + 2.53 * root, a = -0.059 + 0.02483 * b;
    const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_accept = 0.9277 - 3.6224 / (b - 2);
    for (int i = 0; i < kMaxTries; i++) {
      const double u = sample() - 0.5, v = sample();
      const double us = 0.5 - std::fabs(u);
      const double k = std::floor((2 * a / us + b) * u + mean + 0.43);
      if (us >= 0.07 && v <= v_accept) return k;
      if (k < 0 || (us < 0.013 && v > us)) continue;
      const double density = -mean + k * log_mean - log_gamma(k + 1);
      if (std::log(v) + std::log(inverse_alpha) - std::log(a / (us * us) + b) <= density) return k;
    }
    return __builtin_nan("");
  }
};

}  // namespace nengo_dl
