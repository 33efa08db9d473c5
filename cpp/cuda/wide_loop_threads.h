// The threads of a block of a wide loop: on a GPU; in plain C++ a loop in their place.
#pragma once

#include "cuda/wide_loop.h"

#ifdef __CUDACC__
#define NDL_IN_BLOCK __device__ __forceinline__
#else
#define NDL_IN_BLOCK inline
#endif

namespace nengo_dl {
namespace cuda {

// How threads share out work, for those that can wait for each other. Base: `thread` of `count`, barrier, any, warp,
// ...
template <class Base>
struct WideSharing : Base {
  static constexpr bool many = true;  // and can wait for each other
  static constexpr int32_t warps = Base::count / kWideLanes;

  NDL_IN_BLOCK explicit WideSharing(const Base& base) : Base(base) {}
  NDL_IN_BLOCK int32_t lane() const { return this->thread % kWideLanes; }
  NDL_IN_BLOCK int32_t warp_number() const { return this->thread / kWideLanes; }

  // body(item, element): an element of an item is always the same thread's.
  template <class Body>
  NDL_IN_BLOCK void each(int32_t items, int32_t count, const Body& body) const {
    for (int32_t b = 0; b < items; ++b)
      for (int32_t e = (this->thread - kWideLanes * b) & (Base::count - 1); e < count; e += Base::count) body(b, e);
  }
  template <class Body>
  NDL_IN_BLOCK void each_row(int32_t items, int32_t count, const Body& body) const {
    const auto team = this->warp();
    for (int32_t i = warp_number(), b = 0; b < items; i += warps) {
      while (i >= count) {
        i -= count;
        if (++b >= items) return;
      }
      body(b, i, team);
    }
  }
  // All threads, of what is not on the way to anything: those first that the loops above need last.
  template <class Body>
  NDL_IN_BLOCK void aside(int32_t count, const Body& body) const {
    for (int32_t i = Base::count - 1 - this->thread; i < count; i += Base::count) body(i);
  }
};

#ifdef __CUDACC__

struct DeviceThreads {
  static constexpr int32_t count = kWideThreads;
  int32_t thread;

  __device__ __forceinline__ void barrier() const { __syncthreads(); }
  __device__ __forceinline__ bool any(bool value) const { return __syncthreads_or(value); }
  __device__ __forceinline__ Warp warp() const { return {thread % kWideLanes}; }
  __device__ __forceinline__ static uint32_t ballot(bool value) { return __ballot_sync(0xffffffffu, value); }
  __device__ __forceinline__ static int32_t ones(uint32_t bits) { return __popc(bits); }
  __device__ __forceinline__ static int32_t lowest(uint32_t bits) { return __ffs(bits) - 1; }
  // The value of the lane `distance` before, of `width` lanes.
  __device__ __forceinline__ static int32_t before(int32_t value, int32_t distance, int32_t width) {
    return __shfl_up_sync(0xffffffffu, value, distance, width);
  }
  template <class T>
  __device__ __forceinline__ static void fetch(T* to, const T* from) {
    cuda::fetch(to, from);
  }
  __device__ __forceinline__ static void fetched() { cuda::fetched(); }
  __device__ __forceinline__ static void tell(uint64_t* to, uint64_t word) { cuda::tell(to, word); }
  __device__ __forceinline__ static uint64_t hear(const uint64_t* from) { return cuda::hear(from); }
};
using WideThreads = WideSharing<DeviceThreads>;

#else

// Backwards, every other one first.
struct WideThreads {
  static constexpr bool many = false;

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
