// The kernels of cuda/loop.h, for one precision and way: each is compiled by a source of its own, since it holds all
// ops.
#pragma once

#include "cuda/loop.h"

namespace nengo_dl {
namespace cuda {

#ifdef __CUDACC__

struct BlockThreads {
  template <bool kTeams, class Body>
  __device__ __forceinline__ void each(int64_t work, const Body& body) const {
    if constexpr (kTeams) {
      const Warp team{static_cast<int>(threadIdx.x % 32)};
      for (int64_t i = threadIdx.x / 32; i < work; i += blockDim.x / 32) body(i, team);
    } else {
      for (int64_t i = threadIdx.x; i < work; i += blockDim.x) body(i, Alone{});
    }
  }
  __device__ __forceinline__ void barrier() const { __syncthreads(); }
};

// All blocks of the GPU. What one writes others read past their own first cache (-dlcm=cg).
struct GridThreads {
  unsigned* arrived;
  mutable unsigned waits;

  template <bool kTeams, class Body>
  __device__ __forceinline__ void each(int64_t work, const Body& body) const {
    const int64_t thread =
        int64_t{threadIdx.x / 32} * gridDim.x + blockIdx.x;  // of warps: neighbours on other processors
    const int64_t warps = int64_t{blockDim.x / 32} * gridDim.x;
    if constexpr (kTeams) {
      const Warp team{static_cast<int>(threadIdx.x % 32)};
      for (int64_t i = thread; i < work; i += warps) body(i, team);
    } else {
      for (int64_t i = thread * 32 + threadIdx.x % 32; i < work; i += warps * 32) body(i, Alone{});
    }
  }
  __device__ __forceinline__ void barrier() const {
    __syncthreads();
    if (threadIdx.x == 0) {
      const unsigned due = ++waits * gridDim.x;
      __threadfence();
      atomicAdd(arrived, 1u);
      while (static_cast<int>(hear(arrived) - due) < 0) {  // they count on beyond the largest number
      }
      __threadfence();
    } else {
      ++waits;
    }
    __syncthreads();
  }
};

template <class T, class Loop, class AnyFrame, class Threads>
__device__ __forceinline__ void run_block(const Loop& loop, int64_t share, int64_t first, int64_t batch, bool stage_ops,
                                          const Threads& threads) {
  const LoopCall<T>& call = loop.call;
  NDL_BLOCK_MEMORY(memory);
  auto& frame = *reinterpret_cast<AnyFrame*>(memory);
  Staging<T> staging{reinterpret_cast<char*>(memory) + (sizeof(AnyFrame) + 15) / 16 * 16, first, batch, threadIdx.x,
                     blockDim.x};
  AnyFrame mine;
  staging.stage(call, loop.frame, mine);
  if (threadIdx.x == 0) frame = mine;
  const int begin = call.first[share], count = call.first[share + 1] - begin;
  const AnyOp<T>* ops = call.ops + begin;
  if (stage_ops) {
    auto* const to = reinterpret_cast<int4*>(staging.at);
    const auto* const from = reinterpret_cast<const int4*>(ops);
    for (int64_t i = threadIdx.x; i < static_cast<int64_t>(count * sizeof(AnyOp<T>) / sizeof(int4)); i += blockDim.x)
      to[i] = from[i];
    ops = reinterpret_cast<const AnyOp<T>*>(to);
  }
  __syncthreads();
  run_steps<T>(call, ops, count, frame, threads);
}

template <class T, class Loop, class AnyFrame>
__global__ void __launch_bounds__(512) loop_of_blocks(const Loop loop, int64_t batch, bool stage_ops) {
  const int64_t first = blockIdx.x * loop.call.items;
  const int64_t items = batch - first < loop.call.items ? batch - first : loop.call.items;
  run_block<T, Loop, AnyFrame>(loop, blockIdx.y, first, items, stage_ops, BlockThreads{});
}

template <class T, class Loop, class AnyFrame>
__global__ void __launch_bounds__(512) loop_of_grid(const Loop loop, int64_t batch, bool stage_ops, unsigned* arrived) {
  run_block<T, Loop, AnyFrame>(loop, 0, 0, batch, stage_ops, GridThreads{arrived, 0u});
}

template <class T, class Loop, class AnyFrame>
int64_t bytes_of(const Loop& loop, const LoopShape& shape) {
  return static_cast<int64_t>((sizeof(AnyFrame) + 15) / 16 * 16) + staged_bytes(loop.call) +
         (shape.stage_ops ? shape.most_ops * static_cast<int64_t>(sizeof(AnyOp<T>)) : 0);
}

template <class T, class Loop, class AnyFrame>
void start_blocks(const Loop& loop, const LoopShape& shape, int64_t groups, int64_t batch) {
  const Grid grid{dim3(static_cast<unsigned>(groups), static_cast<unsigned>(shape.shares)), shape.threads,
                  bytes_of<T, Loop, AnyFrame>(loop, shape)};
  start_kernel(loop_of_blocks<T, Loop, AnyFrame>, grid, loop, batch, shape.stage_ops);
}

template <class T, class Loop, class AnyFrame>
void start_grid(const Loop& loop, const LoopShape& shape, int64_t batch) {
  static unsigned* const arrived =
      reinterpret_cast<unsigned*>((new Memory<char>(allocate<char>(device_space(), 4)))->get());
  device_space().zero(arrived, 4);
  Grid grid{dim3(static_cast<unsigned>(shape.blocks)), shape.threads, bytes_of<T, Loop, AnyFrame>(loop, shape)};
  grid.together = true;
  start_kernel(loop_of_grid<T, Loop, AnyFrame>, grid, loop, batch, shape.stage_ops, arrived);
}

#else

struct HostThreads {
  template <bool kTeams, class Body>
  void each(int64_t work, const Body& body) const {
    for (int64_t i = work - 1; i >= 0; i -= 2) body(i, Alone{});
    for (int64_t i = work - 2; i >= 0; i -= 2) body(i, Alone{});
  }
  void barrier() const {}
};

template <class T, class Loop, class AnyFrame>
void run_block(const Loop& loop, int64_t share, int64_t first, int64_t batch) {
  std::vector<char> memory(static_cast<size_t>(staged_bytes(loop.call)));
  Staging<T> staging{memory.data(), first, batch, 0, 1};
  AnyFrame frame;
  staging.stage(loop.call, loop.frame, frame);
  const int begin = loop.call.first[share], end = loop.call.first[share + 1];
  run_steps<T>(loop.call, loop.call.ops + begin, end - begin, frame, HostThreads{});
}

template <class T, class Loop, class AnyFrame>
void start_blocks(const Loop& loop, const LoopShape& shape, int64_t groups, int64_t batch) {
  const Open open;
  for (int64_t share = shape.shares - 1; share >= 0; --share)
    for (int64_t g = groups - 1; g >= 0; --g) {
      const int64_t first = g * loop.call.items;
      run_block<T, Loop, AnyFrame>(loop, share, first, std::min(loop.call.items, batch - first));
    }
}

// One block of all items does the same.
template <class T, class Loop, class AnyFrame>
void start_grid(const Loop& loop, const LoopShape& shape, int64_t) {
  start_loop(loop, shape, 1);
}

#endif

}  // namespace cuda
}  // namespace nengo_dl
