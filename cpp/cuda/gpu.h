// What C++ has no words for: instructions of a GPU, and how its kernels are started. All else in cpp/cuda is plain C++
// and CUDA's own names; tests put a file of their own in the place of this one (tests/engine/helpers/host_gpu).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define NDL_COPIES_ON_THEIR_WAY 1
#else
#define NDL_COPIES_ON_THEIR_WAY 0
#endif
// Before Hopper there are no clusters of blocks: kernels for other GPUs are compiled, but never started.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define NDL_HAS_CLUSTERS 1
#else
#define NDL_HAS_CLUSTERS 0
#endif

// The memory of a block, as large as it was started with.
#define NDL_BLOCK_MEMORY(name) extern __shared__ __align__(16) unsigned char name[]

namespace nengo_dl {
namespace cuda {

// A copy to a block's memory that may take until `fetched` is called; before Ampere there are none that don't wait.
template <class T>
__host__ __device__ __forceinline__ void fetch(T* to, const T* from) {
#if NDL_COPIES_ON_THEIR_WAY
  const auto there = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" : : "r"(there), "l"(from), "n"(sizeof(T)) : "memory");
#else
  *to = *from;
#endif
}
__host__ __device__ __forceinline__ void fetched() {
#if NDL_COPIES_ON_THEIR_WAY
  asm volatile("cp.async.wait_all;" : : : "memory");
#endif
}

// Words that go from block to block while both are at work.
__device__ __forceinline__ void tell(uint64_t* to, uint64_t word) {
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" : : "l"(to), "l"(word) : "memory");
}
__device__ __forceinline__ uint64_t hear(const uint64_t* from) {
  uint64_t word;
  asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(word) : "l"(from) : "memory");
  return word;
}
__device__ __forceinline__ unsigned hear(const unsigned* from) { return *const_cast<const volatile unsigned*>(from); }

// Bytes: of a block that is asked of the driver for itself, and of one that several small ones are parts of.
constexpr int64_t kLarge = 1 << 20, kSlab = 32 << 20;
// Of a piece of inputs or outputs: some milliseconds of a bus.
constexpr int64_t piece_size() { return 64 << 20; }
// Of copies between the host and the GPU (cuda/staging.h): what goes by itself, what goes at a time, and what of it a
// thread copies at a time.
constexpr int64_t kMostUnstaged = 64 << 10, kStaged = 2 << 20, kStagedByThread = 256 << 10;

// How a kernel is started.
struct Grid {
  dim3 blocks;
  int64_t threads;        // of a block
  int64_t bytes = 0;      // of a block's memory
  int64_t cluster = 0;    // blocks that reach each other's memory; 0: none are to
  bool together = false;  // whether all blocks are there at a time, and may wait for each other
};

constexpr int64_t kPlainBytes = 48 << 10;  // of a block's memory, which every kernel may have

// The same in the driver's words.
struct Launch {
  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config{};

  Launch(const Launch&) = delete;  // the one points to the other
  Launch(cudaStream_t stream, const Grid& grid) {
    config.gridDim = grid.blocks, config.blockDim = dim3(static_cast<unsigned>(grid.threads));
    config.dynamicSmemBytes = static_cast<size_t>(grid.bytes), config.stream = stream, config.attrs = attributes;
    if (grid.cluster > 0) {
      cudaLaunchAttribute& cluster = attributes[config.numAttrs++];
      cluster.id = cudaLaunchAttributeClusterDimension;
      cluster.val.clusterDim.x = static_cast<unsigned>(grid.cluster);
      cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    }
    if (grid.together) {
      cudaLaunchAttribute& together = attributes[config.numAttrs++];
      together.id = cudaLaunchAttributeCooperative, together.val.cooperative = 1;
    }
  }
};

template <class... P>
cudaError_t allow_bytes(void (*kernel)(P...), int64_t bytes) {
  if (bytes <= kPlainBytes) return cudaSuccess;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
}

template <class... P, class... A>
cudaError_t start_on(cudaStream_t stream, void (*kernel)(P...), const Grid& grid, const A&... arguments) {
  const cudaError_t status = allow_bytes(kernel, grid.bytes);
  if (status != cudaSuccess) return status;
  const Launch launch(stream, grid);
  return cudaLaunchKernelEx(&launch.config, kernel, arguments...);
}

// How many clusters of such blocks are at work at a time: their blocks lie close together on the GPU, so that it may
// have room for fewer than processors / blocks. 0: it takes none.
template <class... P>
int64_t clusters_at_a_time(void (*kernel)(P...), const Grid& grid) {
  const Launch launch(nullptr, grid);
  int count = 0;
  if (allow_bytes(kernel, grid.bytes) == cudaSuccess &&
      cudaOccupancyMaxActiveClusters(&count, kernel, &launch.config) == cudaSuccess)
    return count;
  cudaGetLastError();  // the caller does without
  return 0;
}

}  // namespace cuda
}  // namespace nengo_dl
