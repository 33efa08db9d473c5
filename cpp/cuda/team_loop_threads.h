// The threads of a block of a team: on a GPU; in plain C++ a loop in their place.
#pragma once

#include "cuda/team_loop.h"

#ifdef __CUDACC__
#include <cooperative_groups.h>
#define NDL_IN_TEAM __device__ __forceinline__
#else
#define NDL_IN_TEAM inline
#endif

namespace nengo_dl {
namespace cuda {

#ifdef __CUDACC__

struct TeamThreads {
  static constexpr int32_t kCount = kTeamThreads;
  __device__ __forceinline__ static int32_t thread() { return static_cast<int32_t>(threadIdx.x); }
  __device__ __forceinline__ static void wait() { __syncthreads(); }
  __device__ __forceinline__ static void wait_for_team() {
#if NDL_HAS_CLUSTERS
    cooperative_groups::this_cluster().sync();
#else
    __syncthreads();
#endif
  }
  __device__ __forceinline__ static void wait_for_fetched() { fetched(); }
  static __device__ __forceinline__ bool takes_part(TeamShare share) {
    return threadIdx.x / 32 - static_cast<unsigned>(share.first) < static_cast<unsigned>(share.count);
  }
  template <class F>
  __device__ __forceinline__ void each(TeamShare share, int32_t work, const F& f) const {
    if (!takes_part(share)) return;
    for (int32_t i = threadIdx.x - share.first * 32; i < work; i += share.count * 32) f(i);
  }
  template <class F>
  __device__ __forceinline__ void each_team(TeamShare share, int32_t work, const F& f) const {
    if (!takes_part(share)) return;
    const Warp team{static_cast<int>(threadIdx.x % 32)};
    for (int32_t i = threadIdx.x / 32 - share.first; i < work; i += share.count) f(i, team);
  }
  template <class T>
  __device__ __forceinline__ T* peer(T* signals, int32_t rank) const {
#if NDL_HAS_CLUSTERS
    return cooperative_groups::this_cluster().map_shared_rank(signals, rank);
#else
    return rank == 0 ? signals : nullptr;
#endif
  }
};

#else

// Backwards, every other one first.
template <class T>
struct TeamThreads {
  T* const* peers;
  template <class F>
  void each(TeamShare, int32_t work, const F& f) const {
    for (int32_t i = work - 1; i >= 0; i -= 2) f(i);
    for (int32_t i = work - 2; i >= 0; i -= 2) f(i);
  }
  template <class F>
  void each_team(TeamShare share, int32_t work, const F& f) const {
    each(share, work, [&](int32_t i) { f(i, Alone{}); });
  }
  T* peer(T*, int32_t rank) const { return peers[rank]; }
};

#endif

}  // namespace cuda
}  // namespace nengo_dl
