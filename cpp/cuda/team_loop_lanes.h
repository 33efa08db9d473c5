// What ops of teams leave to the threads of a warp: copies that don't wait, and sums of several numbers at once.
#pragma once

#include "cuda/phase.h"

namespace nengo_dl {
namespace cuda {

#ifdef __CUDA_ARCH__
#define NDL_UNROLL_TEAM _Pragma("unroll 4")
#else
#define NDL_UNROLL_TEAM
#endif

#ifndef __CUDACC__
template <class T>
void fetch(T* to, const T* from) {
  *to = *from;
}
inline void fetched() {}
#endif

// use(k, sum over the team of values[k]) by one thread for each k; Warp::sum's bits.
template <int N, class T, class F>
NDL_HD void each_sum(const Alone&, T (&values)[N], const F& use) {
  for (int k = 0; k < N; ++k) use(k, values[k]);
}
#ifdef __CUDACC__
// Each lane adds up for half of what is left in each round.
template <int N, class T, class F>
__device__ __forceinline__ void each_sum(const Warp& team, T (&values)[N], const F& use) {
  int distance = 16;
  NDL_UNROLL
  for (int half = N / 2; half > 0; half /= 2, distance /= 2) {
    const bool upper = (team.lane & distance) != 0;
    NDL_UNROLL
    for (int k = 0; k < half; ++k) {
      const T sent = upper ? values[k] : values[k + half], kept = upper ? values[k + half] : values[k];
      values[k] = kept + __shfl_xor_sync(0xffffffffu, sent, distance);
    }
  }
  NDL_UNROLL
  for (int left = 16 / N; left > 0; left /= 2) values[0] += __shfl_xor_sync(0xffffffffu, values[0], left);
  constexpr int kLanes = 32 / N;  // with the same sum
  if (team.lane % kLanes == 0) use(team.lane / kLanes, values[0]);
}
#endif

}  // namespace cuda
}  // namespace nengo_dl
