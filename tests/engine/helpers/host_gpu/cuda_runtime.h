// In the place of CUDA's header, for machines without a GPU: what cpp/cuda wants of it, on the host (host_gpu.h). With
// it the sources of the CUDA backend are C++, and are as they are on a GPU but for cuda/gpu.h.
#pragma once

// Before __noinline__ means something else than in these.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "host_gpu.h"

#define __global__
#define __host__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static  // one block after the other runs a kernel whose blocks don't wait for each other
#define threadIdx (host_gpu::here().thread)
#define blockIdx (host_gpu::here().block)
#define blockDim (host_gpu::here().threads)
#define gridDim (host_gpu::here().blocks)

using dim3 = host_gpu::Size;
struct alignas(16) int4 {
  int x, y, z, w;
};

inline void __syncthreads() { host_gpu::wait_for_block(false); }
inline int __syncthreads_or(int value) { return host_gpu::wait_for_block(value != 0); }
inline void __threadfence() {}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(unsigned bits) { return __builtin_ffs(static_cast<int>(bits)); }
inline unsigned atomicAdd(unsigned* to, unsigned value) {
  host_gpu::note_change();
  return __atomic_fetch_add(to, value, __ATOMIC_ACQ_REL);  // kernels have fences around it
}

inline void __syncwarp() { host_gpu::exchange(0); }
inline unsigned __ballot_sync(unsigned lanes, bool value) {
  const uint64_t* const all = host_gpu::exchange(value, lanes);
  unsigned bits = 0;
  for (int i = 0; i < host_gpu::kLanes; ++i) bits |= static_cast<unsigned>(all[i]) << i;
  return bits;
}
namespace host_gpu {
template <class T>
T value_of_lane(unsigned lanes, T value, int lane) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  std::memcpy(&value, exchange(bits, lanes) + lane, sizeof value);
  return value;
}
}  // namespace host_gpu
template <class T>
T __shfl_xor_sync(unsigned lanes, T value, int distance) {
  return host_gpu::value_of_lane(lanes, value, static_cast<int>(host_gpu::lane()) ^ distance);
}
template <class T>
T __shfl_up_sync(unsigned lanes, T value, int distance, int width) {
  const int lane = host_gpu::lane();
  return host_gpu::value_of_lane(lanes, value, lane % width >= distance ? lane - distance : lane);
}

enum cudaError_t { cudaSuccess, cudaErrorInvalidValue, cudaErrorMemoryAllocation, cudaErrorInvalidDevice };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor,
  cudaDevAttrMaxPitch
};
#define __CUDA_ARCH_LIST__ 750, 900
#define NDL_HAS_PTX host_gpu::has_ptx()
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0;
using cudaStream_t = host_gpu::Stream*;
using cudaEvent_t = host_gpu::Event*;
struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
};

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);  // of the thread
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned flags);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t before, cudaEvent_t after);
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_distance, const void* from, size_t from_distance, size_t bytes,
                              size_t rows, cudaMemcpyKind kind, cudaStream_t stream);
