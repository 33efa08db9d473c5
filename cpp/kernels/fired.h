// Neurons that fire are few, and what follows a spike is costly (`settle`, see neurons/neuron.h): they are collected,
// so that it sees full vectors. Included by kernel sources only.
#pragma once

#include "kernels/neurons.h"
#include "math/simd.h"
#include "neurons/neuron.h"

namespace nengo_dl {
namespace NDL_ISA {

// Neurons at once. Large, so that most of what was collected has left the store queue when it is read again.
constexpr int64_t kGroup = 2048;
constexpr int64_t kPiece = 16;

// Of a group of neurons, those that fired: their numbers, ascending; and while they settle, currents and what of their
// states that reads and writes.
template <class T>
struct Fired {
  using V = typename VectorOf<T>::type;
  using Number = typename BitsOf<sizeof(T)>::type;
  using Numbers = typename Lane<V>::Uint;
  static constexpr int64_t W = Lane<V>::width;
  alignas(64) Number at[kGroup + W];
  alignas(64) T current[kGroup + W];
  alignas(64) T state[kMaxNeuronStates][kGroup + W];
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

  // Neuron i has the current J[i], and its states lie at place(s, i).
  template <class N, class Place>
  NDL_HD void settle(const N& model, const T* J, Place place) {
    constexpr int S = state_count<N>();
    const auto settled = [](int s) { return (N::settled & state_bit(s)) != 0; };
    for (int64_t k = 0; k < count; k++) {
      current[k] = J[at[k]];
      for (int s = 0; s < S; s++)
        if (settled(s)) state[s][k] = *place(s, at[k]);
      __asm__("" : "+r"(k));  // keeps the compiler from making it a gather, which is slower here
    }
    store(current + count, V{});  // fill the last vector
    for (int s = 0; s < S; s++)
      if (settled(s)) store(state[s] + count, V{});
    for (int64_t k = 0; k < count; k += W) {
      V now[S] = {};
      for (int s = 0; s < S; s++)
        if (settled(s)) now[s] = load<V>(state[s] + k);
      model.settle(load<V>(current + k), now);
      for (int s = 0; s < S; s++)
        if (settled(s)) store(state[s] + k, now[s]);
    }
    for (int64_t k = 0; k < count; k++) {
      for (int s = 0; s < S; s++)
        if (settled(s)) *place(s, at[k]) = state[s][k];
      __asm__("" : "+r"(k));
    }
  }
};

}  // namespace NDL_ISA
}  // namespace nengo_dl
