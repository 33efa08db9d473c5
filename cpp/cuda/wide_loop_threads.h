// The threads of a block of a wide loop: on a GPU, and as loops in plain C++.
#pragma once

#include "cuda/wide_loop.h"

namespace nengo_dl {
namespace cuda {

#ifdef __CUDACC__

#define NDL_IN_BLOCK __device__ __forceinline__

struct WideThreads {
  static constexpr bool waits = true, warps = true;
  int32_t thread;

  __device__ __forceinline__ void barrier() const { __syncthreads(); }
  // body(item, element): an element of an item is always the same thread's.
  template <class Body>
  __device__ __forceinline__ void each(int32_t items, int32_t count, const Body& body) const {
    for (int32_t b = 0; b < items; ++b)
      for (int32_t e = (thread - 32 * b) & (kWideThreads - 1); e < count; e += kWideThreads) body(b, e);
  }
  template <class Body>
  __device__ __forceinline__ void each_row(int32_t items, int32_t count, const Body& body) const {
    const Warp team{thread % 32};
    for (int32_t i = thread / 32, b = 0; b < items; i += kWideThreads / 32) {
      while (i >= count) {
        i -= count;
        if (++b >= items) return;
      }
      body(b, i, team);
    }
  }
  // All threads, of what is not on the way to anything: those first that the loops above need last.
  template <class Body>
  __device__ __forceinline__ void aside(int32_t count, const Body& body) const {
    for (int32_t i = kWideThreads - 1 - thread; i < count; i += kWideThreads) body(i);
  }
  __device__ __forceinline__ bool any(bool value) const { return __syncthreads_or(value); }

  // A copy that may take until `fetched` is called; before Ampere there are none that don't wait.
  template <class T>
  __device__ __forceinline__ static void fetch(T* to, const T* from) {
#if __CUDA_ARCH__ >= 800
    const auto there = static_cast<uint32_t>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" : : "r"(there), "l"(from), "n"(sizeof(T)) : "memory");
#else
    *to = *from;
#endif
  }
  __device__ __forceinline__ static void fetched() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" : : : "memory");
#endif
  }
  __device__ __forceinline__ static void tell(uint64_t* to, uint64_t word) {
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" : : "l"(to), "l"(word) : "memory");
  }
  __device__ __forceinline__ static uint64_t hear(const uint64_t* from) {
    uint64_t word;
    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(word) : "l"(from) : "memory");
    return word;
  }
};

#else

#define NDL_IN_BLOCK inline

// Backwards, every other one first.
struct WideThreads {
  static constexpr bool waits = false, warps = false;

  template <class Body>
  static void odd(int32_t count, const Body& body) {
    for (int32_t i = count - 1; i >= 0; i -= 2) body(i);
    for (int32_t i = count - 2; i >= 0; i -= 2) body(i);
  }
  void barrier() const {}
  template <class Body>
  void each(int32_t items, int32_t count, const Body& body) const {
    odd(items, [&](int32_t b) { odd(count, [&](int32_t e) { body(b, e); }); });
  }
  template <class Body>
  void each_row(int32_t items, int32_t count, const Body& body) const {
    odd(items, [&](int32_t b) { odd(count, [&](int32_t e) { body(b, e, Alone{}); }); });
  }
  template <class Body>
  void aside(int32_t count, const Body& body) const {
    odd(count, body);
  }
  bool any(bool value) const { return value; }
  template <class T>
  static void fetch(T* to, const T* from) {
    *to = *from;
  }
  static void fetched() {}
  static void tell(uint64_t* to, uint64_t word) { *to = word; }
  static uint64_t hear(const uint64_t* from) { return *from; }
};

#endif

}  // namespace cuda
}  // namespace nengo_dl
