// Backend "phases" of the tests: the kernels of the CUDA backend, compiled as plain C++, on memory that the host can't
// reach. Each of its sources is compiled by itself; this one holds what stands for the device. Loading the library adds
// the backend.
#include "cuda/device.h"
#include "cuda/tiling.h"
#include "helpers/far_space.h"

namespace nengo_dl {
namespace cuda {

Space& device_space() { return far_space(); }

Backend& device_backend() {
  static Backend* const backend = [] {
    auto made = std::make_unique<Backend>("phases", far_space(), device_tiling());
    Backend* const kept = made.get();
    add_backend(std::move(made));
    return kept;
  }();
  return *backend;
}

std::recursive_mutex& launching() {
  static auto* const lock = new std::recursive_mutex;
  return *lock;
}

namespace {
thread_local int opened = 0;
thread_local std::unique_ptr<FarSpace::Open> door;
}  // namespace

Open::Open() {
  if (opened++ == 0) door = std::make_unique<FarSpace::Open>(far_space());
}
Open::~Open() {
  if (--opened == 0) door.reset();
}

}  // namespace cuda
}  // namespace nengo_dl
