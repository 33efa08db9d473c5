// What cpp/cuda/cublas.cu wants of CUDA, for a test that compiles it as plain C++.
#pragma once

#include "cuda/device.h"

using cudaStream_t = void*;
namespace nengo_dl {
namespace cuda {
cudaStream_t stream();
}  // namespace cuda
}  // namespace nengo_dl
