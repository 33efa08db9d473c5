// Backend "phases" of the tests: the kernels of the CUDA backend, compiled as plain C++, on memory that the host can't
// reach. Each of its sources is compiled by itself; this one holds what stands for the device. Loading the library adds
// the backend.
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "cuda/conv_tiles.h"
#include "cuda/cublas.h"
#include "cuda/device.h"
#include "cuda/tiling.h"
#include "helpers/far_gpu_memory.h"
#include "helpers/far_space.h"
#include "helpers/tf32.h"

namespace nengo_dl {
namespace cuda {

Space& device_space() { return far_space(); }
int64_t device_bytes() { return int64_t{16} << 30; }

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

// In place of cuBLAS, which the tests ask how often it was called.
namespace {
int64_t products = 0;

template <class T>
void multiply(const Gemm<T>& g) {
  if (!takes(g)) std::abort();
  const std::lock_guard<std::recursive_mutex> hold(launching());
  const Open open;
  ++products;
  for (int64_t l = 0; l < g.count; ++l)
    for (int64_t i = 0; i < g.m; ++i)
      for (int64_t j = 0; j < g.n; ++j) {
        T sum = 0;
        for (int64_t k = 0; k < g.k; ++k) {
          const T a = g.a[l * g.a_at + (g.a_turned ? k * g.a_row + i : i * g.a_row + k)];
          const T b = g.b[l * g.b_at + (g.b_turned ? j * g.b_row + k : k * g.b_row + j)];
          sum = g.tf32 ? std::fma(tf32_of(a), tf32_of(b), sum) : std::fma(a, b, sum);
        }
        T& c = g.c[l * g.c_at + i * g.c_row + j];
        c = g.add ? c + sum : sum;
      }
}
}  // namespace

bool has_gemm() { return true; }
void gemm(const Gemm<float>& g) { multiply(g); }
void gemm(const Gemm<double>& g) { multiply(g); }

}  // namespace cuda
}  // namespace nengo_dl

extern "C" int64_t gemm_calls() { return nengo_dl::cuda::products; }
extern "C" int64_t tiles_launched() { return nengo_dl::cuda::tiles_launched; }
