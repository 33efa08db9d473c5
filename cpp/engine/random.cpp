#include "engine/random.h"

#include <algorithm>

#include "engine/twister.h"
#include "kernels/random.h"

namespace nengo_dl {

void random_samples(int32_t* g, double* to, int64_t n) { NDL_PICK(draw_samples)(g, to, n); }

// A pair of samples gives two numbers at most: half as many pairs as numbers are sure to be asked for.
void random_gausses(int32_t* g, double* to, int64_t n) {
  constexpr int64_t kMost = 128;  // pairs
  const Twister twister{g};
  if (n > 0 && twister.take_kept(to)) ++to, --n;
  double samples[2 * kMost], now, later;
  for (int tries = 0; n > 0;) {
    const int64_t pairs = std::min(kMost, (n + 1) / 2);
    random_samples(g, samples, 2 * pairs);
    for (int64_t i = 0; i < pairs; ++i) {
      const bool good = Twister::polar(samples[2 * i], samples[2 * i + 1], &now, &later);
      if (!good && ++tries < Twister::kMaxTries) continue;
      tries = 0;
      *to++ = good ? now : __builtin_nan(""), --n;
      if (good && n == 0) twister.keep(later);
      if (good && n > 0) *to++ = later, --n;
    }
  }
}

}  // namespace nengo_dl
