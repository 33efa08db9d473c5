// Neurons that fire are few, and what follows a spike is costly (`settle`, see neurons/neuron.h): they are collected,
// so that it sees full vectors. Included by kernel sources only.
#pragma once

#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {

// Neurons at once. Large, so that what was written as vectors has left the store queue when it is read one by one.
constexpr int64_t kGroup = 2048;
constexpr int64_t kPiece = 16;

// Of a group of neurons: two values of each, who fired, and then the numbers and values of these.
template <class T>
struct Fired {
  using V = typename VectorOf<T>::type;
  static constexpr int64_t W = Lane<V>::width;
  alignas(64) T a[kGroup + W];
  alignas(64) T b[kGroup + W];
  alignas(64) T their_a[kGroup + W];
  alignas(64) T their_b[kGroup + W];
  uint64_t bits[kGroup / 64];
  uint16_t at[kGroup + 4];
  int64_t count;

  NDL_HD void begin(int64_t n) {
    for (int64_t q = 0; q * 64 < n; q++) bits[q] = 0;
  }
  // `lanes` of the vector that begins at neuron i, a multiple of W, fire.
  NDL_HD void mark(int64_t i, unsigned lanes) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint8_t* to = reinterpret_cast<uint8_t*>(bits) + static_cast<uint64_t>(i) / 8;
    const uint16_t two = uint16_t(lanes);
    if constexpr (W == 16)
      __builtin_memcpy(to, &two, 2);
    else if constexpr (W == 8)
      *to = uint8_t(lanes);
    else
      *to |= uint8_t(lanes << i % 8);
#else
    bits[i / 64] |= uint64_t(lanes) << i % 64;
#endif
  }
  NDL_HD void add(int64_t i, unsigned lanes, V va, V vb) {
    store<V>(a + i, va), store<V>(b + i, vb);
    mark(i, lanes);
  }

  // The numbers of those that fired among n, ascending. Of 64 seldom more than four fire, and so many need no branch.
  NDL_HD void list(int64_t n) {
    count = 0;
    for (int64_t q = 0; q * 64 < n; q++) {
      uint64_t word = bits[q];
      const int64_t end = count + __builtin_popcountll(word);
      for (int k = 0; k < 4; k++, word &= word - 1) at[count + k] = uint16_t(q * 64 + first_bit(word));
      for (int64_t k = count + 4; k < end; k++, word &= word - 1) at[k] = uint16_t(q * 64 + first_bit(word));
      count = end;
    }
  }
  // The settled values of those that were listed come to lie in their_a.
  template <class N>
  NDL_HD void settle(const N& model) {
    for (int64_t k = 0; k < count; k++) {
      their_a[k] = a[at[k]], their_b[k] = b[at[k]];
      __asm__("" : "+r"(k));  // keeps the compiler from making it a gather, which is slower here
    }
    store(their_a + count, V{}), store(their_b + count, V{});  // fill the last vector
    for (int64_t k = 0; k < count; k += W) store(their_a + k, model.settle(load<V>(their_a + k), load<V>(their_b + k)));
  }
  // to[i] = the settled value for those listed.
  NDL_HD void put(T* to) const {
    for (int64_t k = 0; k < count; k++) {
      to[at[k]] = their_a[k];
      __asm__("" : "+r"(k));
    }
  }
  // The same where neurons don't lie side by side: to[i / kPiece] is where number 0 would lie for neuron i.
  NDL_HD void put(T* const* to) const {
    for (int64_t k = 0; k < count; k++) {
      to[at[k] / static_cast<unsigned>(kPiece)][at[k]] = their_a[k];
      __asm__("" : "+r"(k));
    }
  }

 private:
  static NDL_HD int first_bit(uint64_t word) { return __builtin_ctzll(word | uint64_t(1) << 63); }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
