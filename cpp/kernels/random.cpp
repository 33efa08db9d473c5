// What engine/twister.h does word by word, for many words at a time.
#include "kernels/random.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

constexpr int kKey = 624, kMiddle = 397, kPos = kKey;

inline uint32_t next(uint32_t word, uint32_t behind, uint32_t other) {
  const uint32_t y = (word & 0x80000000u) | (behind & 0x7fffffffu);
  return other ^ (y >> 1) ^ ((0u - (y & 1)) & 0x9908b0dfu);
}

// Words depend on others that are far enough away for vectors: on what is there first, then on what is new.
void refill(uint32_t* key) {
  for (int i = 0; i < kKey - kMiddle; i++) key[i] = next(key[i], key[i + 1], key[i + kMiddle]);
  for (int i = kKey - kMiddle; i < kKey - 1; i++) key[i] = next(key[i], key[i + 1], key[i + kMiddle - kKey]);
  key[kKey - 1] = next(key[kKey - 1], key[0], key[kMiddle - 1]);
}

void draw_words(int32_t* g, uint32_t* to, int n) {
  uint32_t* const key = reinterpret_cast<uint32_t*>(g);
  for (int done = 0; done < n;) {
    if (g[kPos] < 0 || g[kPos] >= kKey) {
      refill(key);
      g[kPos] = 0;
    }
    const int pos = g[kPos], left = kKey - pos, count = left < n - done ? left : n - done;
    for (int i = 0; i < count; i++) {
      uint32_t y = key[pos + i];
      y ^= y >> 11;
      y ^= (y << 7) & 0x9d2c5680u;
      y ^= (y << 15) & 0xefc60000u;
      to[done + i] = y ^ (y >> 18);
    }
    g[kPos] = pos + count, done += count;
  }
}

}  // namespace

void draw_samples(int32_t* generator, double* to, int64_t n) {
  constexpr int kMost = 256;
  uint32_t words[2 * kMost];
  for (int64_t first = 0; first < n; first += kMost) {
    const int count = n - first < kMost ? static_cast<int>(n - first) : kMost;
    draw_words(generator, words, 2 * count);
    for (int i = 0; i < count; i++) {
      const auto high = static_cast<int32_t>(words[2 * i] >> 5), low = static_cast<int32_t>(words[2 * i + 1] >> 6);
      to[first + i] = (high * 67108864.0 + low) / 9007199254740992.0;
    }
  }
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
