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
};

}  // namespace nengo_dl
