// Neurons that fire are few, and what follows a spike is costly (`settle`, see neurons/neuron.h): they are collected,
// so that it sees full vectors. Included by kernel sources only.
#pragma once

#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {

// Neurons at once. Large, so that most of what was collected has left the store queue when it is read again.
constexpr int64_t kGroup = 2048;
constexpr int64_t kPiece = 16;

// Of a group of neurons, those that fired: their numbers, ascending, and two values of each.
template <class T>
struct Fired {
  using V = typename VectorOf<T>::type;
  using Number = typename BitsOf<sizeof(T)>::type;
  using Numbers = typename Lane<V>::Uint;
  static constexpr int64_t W = Lane<V>::width;
  alignas(64) T a[kGroup + W];
  alignas(64) T b[kGroup + W];
  alignas(64) Number at[kGroup + W];
  int64_t count;

  // A walk over neurons, a vector of them at a time.
  struct Walk {
    Numbers numbers;  // of the neurons of a vector
    int64_t count;    // fired so far

    NDL_HD Walk(int64_t first, int64_t count) : numbers{}, count(count) {
      for (int i = 0; i < W; i++) numbers[i] = i;
      numbers += static_cast<Number>(first);
    }
  };
  // `lanes` of the next vector fire.
  NDL_HD void add(Walk& walk, unsigned lanes) {
    const Numbers numbers = pack(walk.numbers, lanes);
    __builtin_memcpy(at + walk.count, &numbers, sizeof numbers);
    walk.count += __builtin_popcount(lanes), walk.numbers += W;
  }
  NDL_HD void add(Walk& walk, unsigned lanes, V va, V vb) {
    store<V>(a + walk.count, pack(va, lanes)), store<V>(b + walk.count, pack(vb, lanes));
    add(walk, lanes);
  }

  // Settled values come to lie in `a`.
  template <class N>
  NDL_HD void settle(const N& model) {
    store(a + count, V{}), store(b + count, V{});  // fill the last vector
    for (int64_t k = 0; k < count; k += W) store(a + k, model.settle(load<V>(a + k), load<V>(b + k)));
  }
  // to[i] = the settled value of neuron i.
  NDL_HD void put(T* to) const {
    for (int64_t k = 0; k < count; k++) {
      to[at[k]] = a[k];
      __asm__("" : "+r"(k));  // keeps the compiler from making it a scatter, which is slower here
    }
  }
  // The same where neurons don't lie side by side: to[i / kPiece] is where number 0 would lie for neuron i.
  NDL_HD void put(T* const* to) const {
    for (int64_t k = 0; k < count; k++) {
      to[at[k] / static_cast<unsigned>(kPiece)][at[k]] = a[k];
      __asm__("" : "+r"(k));
    }
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
