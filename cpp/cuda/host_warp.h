// Warps whose lanes are threads of the host: what a GPU does between lanes, for tests.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "cuda/device.h"

namespace nengo_dl {
namespace cuda {

// One lane that does the work of all.
struct AloneInStep {
  static constexpr int lane = 0, size = 1;
  template <class T>
  T sum(T value) const {
    return value;
  }
  void sync() const {}
};

class HostBarrier {
 public:
  explicit HostBarrier(int threads) { pthread_barrier_init(&barrier_, nullptr, static_cast<unsigned>(threads)); }
  ~HostBarrier() { pthread_barrier_destroy(&barrier_); }
  HostBarrier(const HostBarrier&) = delete;
  HostBarrier& operator=(const HostBarrier&) = delete;
  void wait() { pthread_barrier_wait(&barrier_); }

 private:
  pthread_barrier_t barrier_;
};

struct HostWarp {
  static constexpr int size = 32;
  struct Shared {
    HostBarrier barrier{size};
    double values[size];  // of each lane
  };
  int lane;
  Shared* shared;

  void sync() const { shared->barrier.wait(); }
  // In the order of a butterfly, as a GPU's.
  template <class T>
  T sum(T value) const {
    T all[size];
    exchange(value, all);
    for (int distance = size / 2; distance > 0; distance /= 2)
      for (int i = 0; i < distance; ++i) all[i] += all[i + distance];
    return all[0];
  }
  uint32_t ballot(bool value) const {
    bool all[size];
    exchange(value, all);
    uint32_t bits = 0;
    for (int i = 0; i < size; ++i) bits |= static_cast<uint32_t>(all[i]) << i;
    return bits;
  }
  // The value of the lane `distance` before, of `width` lanes; its own if there is none.
  int32_t before(int32_t value, int distance, int width) const {
    int32_t all[size];
    exchange(value, all);
    return all[lane % width >= distance ? lane - distance : lane];
  }

 private:
  template <class T>
  void exchange(T value, T (&all)[size]) const {
    shared->values[lane] = static_cast<double>(value);
    sync();
    for (int i = 0; i < size; ++i) all[i] = static_cast<T>(shared->values[i]);
    sync();
  }
};

// f(thread) by so many threads, which may touch the device's memory.
inline void run_threads(int count, const std::function<void(int)>& f) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i)
    threads.emplace_back([&f, i] {
      const Open open;
      f(i);
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace cuda
}  // namespace nengo_dl
