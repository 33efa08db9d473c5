// Sums over the lanes of vectors, many vectors at once. Included by kernel sources only.
#pragma once

#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// Sums of so many products are made of several chains, where there are few of them.
template <class T>
constexpr long kLongRow = 16 * kLanes<T>;

template <int... I>
struct Indices {};
template <int N, int... I>
struct MakeIndices : MakeIndices<N - 1, N - 1, I...> {};
template <int... I>
struct MakeIndices<0, I...> {
  using type = Indices<I...>;
};

// A vector holds groups of W lanes, each group to be summed. Folding two such vectors adds the upper half of every
// group to its lower half, which leaves one vector of groups of W/2: within 16 bytes where groups are that small,
// as processors do it cheaply, otherwise first those of the one, then those of the other.
// fold_source: the lane that goes to lane p, counting on into the second vector.
template <class T, int L>
constexpr int fold_source(int p, int w, bool upper) {
  const int lane = 16 / static_cast<int>(sizeof(T)), part = w > lane ? L : lane;
  const int within = p % part, second = within / (part / 2), q = within % (part / 2);
  return second * L + p / part * part + q / (w / 2) * w + q % (w / 2) + (upper ? w / 2 : 0);
}

template <class T, int L, int W, int... P>
NDL_HD Vec<T, L> fold(Vec<T, L> u, Vec<T, L> v, Indices<P...>) {
  return shuffle<fold_source<T, L>(P, W, false)...>(u, v) + shuffle<fold_source<T, L>(P, W, true)...>(u, v);
}

// The vector whose sum arrives in lane p once all are folded.
template <class T, int L>
constexpr int sum_source(int p, int count) {
  int vector = 0, at = p;
  for (int w = 2; w <= L; w *= 2) {  // back from the last folding to the first
    const int source = fold_source<T, L>(at, w, false);
    vector += source / L * (count * w / (2 * L)), at = source % L;
  }
  return vector;
}

template <class T, int L>
constexpr int sum_lane(int vector, int count) {
  int p = 0;
  while (sum_source<T, L>(p, count) != vector) ++p;
  return p;
}

template <class T, int L, int Count, int W>
NDL_HD Vec<T, L> fold_all(Vec<T, L>* v) {
  constexpr int half = Count > 1 ? Count / 2 : 1, other = Count > 1 ? half : 0;  // a last one is folded with itself
  for (int i = 0; i < half; ++i) v[i] = fold<T, L, W>(v[i], v[other + i], typename MakeIndices<L>::type());
  if constexpr (W == 2)
    return v[0];
  else
    return fold_all<T, L, half, W / 2>(v);
}

template <class T, int L, int Count, int... P>
NDL_HD Vec<T, L> in_order(Vec<T, L> v, Indices<P...>) {
  return shuffle<sum_lane<T, L>(P % Count, Count)...>(v, v);
}

// Lane i of the result is the sum of the lanes of v[i], always in the same tree: halves are added until one is left.
// Count is a power of two and at most L; v is used up.
template <class T, int L, int Count>
NDL_HD Vec<T, L> sums(Vec<T, L>* v) {
  return in_order<T, L, Count>(fold_all<T, L, Count, L>(v), typename MakeIndices<L>::type());
}

}  // namespace
}  // namespace NDL_ISA
}  // namespace nengo_dl
