// What engine/twister.h does word by word, for many words at a time.
#include "kernels/random.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

constexpr int kKey = 624, kMiddle = 397, kPos = kGeneratorPos;

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

inline uint32_t temper(uint32_t y) {
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

void draw_words(int32_t* g, uint32_t* to, int n) {
  uint32_t* const key = reinterpret_cast<uint32_t*>(g);
  for (int done = 0; done < n;) {
    if (g[kPos] < 0 || g[kPos] >= kKey) {
      refill(key);
      g[kPos] = 0;
    }
    const int pos = g[kPos], left = kKey - pos, count = left < n - done ? left : n - done;
    for (int i = 0; i < count; i++) to[done + i] = temper(key[pos + i]);
    g[kPos] = pos + count, done += count;
  }
}

inline double uniform(uint32_t first, uint32_t second) {
  const auto high = static_cast<int32_t>(first >> 5), low = static_cast<int32_t>(second >> 6);
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

}  // namespace

void draw_samples(int32_t* generator, double* to, int64_t n) {
  constexpr int kMost = 256;
  uint32_t words[2 * kMost];
  for (int64_t first = 0; first < n; first += kMost) {
    const int count = n - first < kMost ? static_cast<int>(n - first) : kMost;
    draw_words(generator, words, 2 * count);
    for (int i = 0; i < count; i++) to[first + i] = uniform(words[2 * i], words[2 * i + 1]);
  }
}

int64_t coming_samples(const int32_t* generator, double* to, int64_t n) {
  const int pos = generator[kPos];
  if (pos < 0 || pos >= kKey) return 0;
  const int64_t left = (kKey - pos) / 2, count = n < left ? n : left;
  const auto* const word = reinterpret_cast<const uint32_t*>(generator) + pos;
  for (int64_t i = 0; i < count; i++) to[i] = uniform(temper(word[2 * i]), temper(word[2 * i + 1]));
  return count;
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
