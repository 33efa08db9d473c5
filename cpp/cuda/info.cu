// What is told of this library and of the GPU that it runs on.
#include <cstring>
#include <string>

#include "cuda/cublas.h"
#include "cuda/device.h"
#include "engine/build_stamp.h"
#include "engine/engine.h"

namespace nengo_dl {
namespace cuda {
namespace {

std::string describe() {
  cudaDeviceProp found{};
  int driver = 0;
  check(cudaGetDeviceProperties(&found, kGpu), "the GPU can't be asked for its name");
  check(cudaDriverGetVersion(&driver), "the driver can't be asked for its version");
  std::string text = std::string(found.name) + ", " + std::to_string(found.totalGlobalMem >> 20) + " MiB, CUDA " +
                     std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10);
  return text + (has_gemm() ? ", with cuBLAS" : ", without cuBLAS");
}

}  // namespace

int64_t gpu_fact(cudaDeviceAttr which) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, kGpu), "the GPU can't be asked what it is");
  return value;
}

std::string why_no_gpu() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();  // it is told, and fails nothing else
  if (status != cudaSuccess) return std::string("none (") + cudaGetErrorString(status) + ")";
  if (count == 0) return "none";
  int major = 0, minor = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, kGpu) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, kGpu) != cudaSuccess)
    return "one that can't be asked for its kind";
  constexpr int kinds[] = {__CUDA_ARCH_LIST__};  // that this library is compiled for, the least first
  const int kind = 10 * major + minor, least = kinds[0] / 10;
  const auto written = [](int k) { return std::to_string(k / 10) + "." + std::to_string(k % 10); };
  bool ready = NDL_HAS_PTX != 0;  // the driver translates for GPUs that came later
  for (const int k : kinds) ready = ready || (k / 100 == major && k / 10 <= kind);
  if (kind >= least && !ready)
    return "one of compute capability " + written(kind) +
           ", for which this package isn't built; NENGO_DL_CUDA_ARCHITECTURES names its kinds";
  if (kind >= least) return {};
  return "one of compute capability " + written(kind) + ", while this package is built for " + written(least) +
         " and more";
}

bool has_right_engine() { return std::strcmp(build_stamp(), NENGO_DL_BUILD_STAMP) == 0; }

}  // namespace cuda
}  // namespace nengo_dl

// For cpp/engine/load_cuda.cpp, which finds them by name.
extern "C" __attribute__((visibility("default"))) const char* nengo_dl_cuda_stamp() { return NENGO_DL_BUILD_STAMP; }
extern "C" __attribute__((visibility("default"))) void nengo_dl_cuda_why_not(std::string* text) {
  *text = nengo_dl::cuda::why_no_gpu();
}
extern "C" __attribute__((visibility("default"))) void nengo_dl_cuda_info(std::string* text) {
  *text = nengo_dl::cuda::describe();
}
extern "C" __attribute__((visibility("default"))) void nengo_dl_cuda_seconds(double* seconds) {
  *seconds = nengo_dl::cuda::device_seconds();
}
extern "C" __attribute__((visibility("default"))) void nengo_dl_cuda_memory(int64_t* free, int64_t* total) {
  size_t now = 0, all = 0;
  nengo_dl::cuda::stream();  // of its GPU
  nengo_dl::cuda::check(cudaMemGetInfo(&now, &all), "the GPU's memory can't be asked for");
  *free = static_cast<int64_t>(now), *total = static_cast<int64_t>(all);
}
