// In the place of cpp/cuda/gpu.h: the same, on the host.
#pragma once

#include <cuda_runtime.h>

#include "helpers/test_piece.h"

#define NDL_HAS_CLUSTERS 1
#define NDL_BLOCK_MEMORY(name) unsigned char* const name = host_gpu::block_memory()

namespace nengo_dl {
namespace cuda {

// What is fetched is there when it has been waited for, and not before.
template <class T>
void fetch(T* to, const T* from) {
  host_gpu::fetch(to, from, sizeof(T));
}
inline void fetched() { host_gpu::fetched(); }

inline void tell(uint64_t* to, uint64_t word) {
  host_gpu::note_change();
  __atomic_store_n(to, word, __ATOMIC_RELAXED);
}
inline uint64_t hear(const uint64_t* from) {
  host_gpu::let_others(from);
  return __atomic_load_n(from, __ATOMIC_RELAXED);
}
inline unsigned hear(const unsigned* from) {
  host_gpu::let_others(from);
  return __atomic_load_n(from, __ATOMIC_ACQUIRE);  // there is a fence behind
}

#ifdef __SANITIZE_ADDRESS__
constexpr int64_t kLarge = 1, kSlab = 1;  // each is the driver's, and as large as it was asked for
#else
constexpr int64_t kLarge = 1 << 12, kSlab = 1 << 15;  // so little that short tests have several of each
#endif
inline int64_t piece_size() { return piece_of_tests(); }
constexpr int64_t kMostUnstaged = 8 << 10, kStaged = 2 << 10;
#ifdef __SANITIZE_THREAD__
constexpr int64_t kStagedByThread = kStaged;  // how the engine's threads wait for each other isn't seen
#else
constexpr int64_t kStagedByThread = 1 << 10;
#endif

struct Grid {
  dim3 blocks;
  int64_t threads, bytes = 0, cluster = 0;
  bool together = false;
};

template <class... P, class... A>
cudaError_t start_on(cudaStream_t stream, void (*kernel)(P...), const Grid& grid, const A&... arguments) {
  host_gpu::Launch launch;
  launch.blocks = grid.blocks, launch.threads = grid.threads, launch.bytes = grid.bytes;
  launch.cluster = grid.cluster, launch.together = grid.together;
  launch.thread = [kernel, arguments...] { kernel(arguments...); };
  return host_gpu::start(stream, launch) ? cudaSuccess : cudaErrorInvalidValue;
}

template <class... P>
int64_t clusters_at_a_time(void (*)(P...), const Grid& grid) {
  return host_gpu::clusters(grid.cluster);
}

}  // namespace cuda
}  // namespace nengo_dl
