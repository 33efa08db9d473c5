// A warp whose lanes are threads of the host: what a GPU does between lanes, for tests.
#pragma once

#include <pthread.h>

#include <thread>
#include <vector>

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

struct HostWarp {
  static constexpr int size = 32;
  int lane;
  pthread_barrier_t* barrier;
  double* values;  // of each lane

  void sync() const { pthread_barrier_wait(barrier); }
  // In the order of a butterfly, as a GPU's.
  template <class T>
  T sum(T value) const {
    for (int distance = size / 2; distance > 0; distance /= 2) {
      values[lane] = value;
      sync();
      value += static_cast<T>(values[lane ^ distance]);
      sync();
    }
    return value;
  }
};

// f(warp) by all lanes.
template <class F>
void run_warp(const F& f) {
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, HostWarp::size);
  double values[HostWarp::size];
  std::vector<std::thread> lanes;
  for (int lane = 0; lane < HostWarp::size; ++lane)
    lanes.emplace_back([&, lane] { f(HostWarp{lane, &barrier, values}); });
  for (std::thread& lane : lanes) lane.join();
  pthread_barrier_destroy(&barrier);
}

}  // namespace cuda
}  // namespace nengo_dl
