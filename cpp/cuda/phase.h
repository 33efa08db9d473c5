// Phases: what a GPU does between two barriers, as a body that is called for each of a number of indices, in any order.
// The same source is CUDA, where threads share out the indices, and plain C++, where a loop goes through them.
#pragma once

#include <cstdint>

#include "cuda/device.h"
#include "math/math.h"

namespace nengo_dl {
namespace cuda {

// For the device alone. NDL_UNROLL_SUM: several loads at once, before a loop over a sum.
#ifdef __CUDA_ARCH__
#define NDL_UNROLL _Pragma("unroll")
#define NDL_NO_UNROLL _Pragma("unroll 1")
#define NDL_UNROLL_SUM _Pragma("unroll 8")
#else
#define NDL_UNROLL
#define NDL_NO_UNROLL
#define NDL_UNROLL_SUM
#endif

// Threads that work on one index together: lane `lane` of `size`.
struct Alone {
  static constexpr int lane = 0, size = 1;
  template <class T>
  NDL_HD T sum(T value) const {
    return value;
  }
};

#ifdef __CUDACC__
struct Warp {
  static constexpr int size = 32;
  int lane;
  // The same bits in every lane: sums of two are formed in the order of a butterfly.
  template <class T>
  __device__ __forceinline__ T sum(T value) const {
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
  }
};
#else
// Compiled as C++ one lane does the work of all.
using Warp = Alone;
#endif

// An index that stands for several numbers, the innermost first.
struct Digits {
  int64_t rest;
  // The next number, below n.
  NDL_HD int64_t take(int64_t n) {
    if (n == 1) return 0;
    if (((rest | n) >> 32) == 0) {  // a 64-bit division takes a GPU a hundred cycles
      const uint32_t all = static_cast<uint32_t>(rest), base = static_cast<uint32_t>(n), q = all / base;
      rest = q;
      return all - q * base;
    }
    const int64_t q = rest / n, digit = rest - q * n;
    rest = q;
    return digit;
  }
};

#ifdef __CUDACC__

constexpr int kThreads = 128, kFewest = 32;  // of a block

template <bool kTeams, class Body>
__global__ void __launch_bounds__(kThreads) run_phase(const Body body, int64_t work) {
  const int64_t thread = int64_t{blockIdx.x} * blockDim.x + threadIdx.x, threads = int64_t{gridDim.x} * blockDim.x;
  if constexpr (kTeams) {
    const Warp team{static_cast<int>(threadIdx.x % 32)};
    for (int64_t i = thread / 32; i < work; i += threads / 32) body(i, team);
  } else {
    for (int64_t i = thread; i < work; i += threads) body(i, Alone{});
  }
}

template <bool kTeams, class Body>
void launch(const Body& body, int64_t work) {
  constexpr int64_t kProcessors = 132, kMostBlocks = kProcessors * 32;
  if (work <= 0) return;
  const int64_t threads = work * (kTeams ? 32 : 1);
  int64_t size = kThreads;  // of a block: little work is spread over all processors
  while (size > kFewest && threads <= kProcessors * size / 2) size /= 2;
  const int64_t blocks = (threads + size - 1) / size;
  const dim3 grid(static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks));
  start_kernel(run_phase<kTeams, Body>, {grid, size}, body, work);
}

#else

// Backwards, every other one first: who relies on an order is found out.
template <bool kTeams, class Body>
void launch(const Body& body, int64_t work) {
  if (work <= 0) return;
  const Open open;
  for (int64_t i = work - 1; i >= 0; i -= 2) body(i, Alone{});
  for (int64_t i = work - 2; i >= 0; i -= 2) body(i, Alone{});
}

#endif

}  // namespace cuda
}  // namespace nengo_dl
