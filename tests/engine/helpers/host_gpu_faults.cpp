// What a GPU doesn't take or do, one fault for each argument; the GPU of host_gpu.h has to say so.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "cuda/gpu.h"

namespace nengo_dl {
namespace cuda {
namespace {

cudaStream_t stream() {
  static cudaStream_t made = nullptr;
  if (!made) cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking);
  return made;
}

int* there() {
  void* memory = nullptr;
  if (cudaMalloc(&memory, 4096) != cudaSuccess) std::abort();
  cudaMemsetAsync(memory, 0, 4096, stream());
  return static_cast<int*>(memory);
}

__global__ void leaves(int) {
  if (threadIdx.x == 0) return;
  __syncthreads();
}
__global__ void waits(const unsigned* word) {
  while (hear(word) == 0) {
  }
}
__global__ void few_lanes(int) {
  if (threadIdx.x % 2) __syncwarp();
}
__global__ void never_waits(const int* from) {
  NDL_BLOCK_MEMORY(memory);
  fetch(reinterpret_cast<int*>(memory) + threadIdx.x, from + threadIdx.x);
}
__global__ void beyond(int at) {
  NDL_BLOCK_MEMORY(memory);
  memory[at] = 1;
}
// Each thread hands a number on to the next one; if it `waits`, that one has it.
__global__ void hand_on(int waits) {
  NDL_BLOCK_MEMORY(memory);
  int* const numbers = reinterpret_cast<int*>(memory);
  numbers[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (waits) __syncthreads();
  const int found = numbers[(threadIdx.x + 1) % blockDim.x];
  __syncthreads();
  numbers[threadIdx.x] = found;
}
__global__ void nothing(int) {}
__global__ void set(int* to) { *to = 1; }

// Whether all went well, which it must not.
bool does(const std::string& fault) {
  const Grid plain{dim3(1), 32};
  const auto start = [](auto kernel, const Grid& grid, auto argument) {
    return start_on(stream(), kernel, grid, argument) == cudaSuccess && cudaStreamSynchronize(stream()) == cudaSuccess;
  };
  Grid together{dim3(1000), 32};
  together.together = true;
  if (fault == "leaves") return start(leaves, plain, 0);
  if (fault == "waits for ever") return start(waits, plain, reinterpret_cast<const unsigned*>(there()));
  if (fault == "few lanes") return start(few_lanes, plain, 0);
  if (fault == "never waits for a copy")
    return start(never_waits, {dim3(1), 32, 4096}, const_cast<const int*>(there()));
  if (fault == "hands on") return start(hand_on, {dim3(2), 64, 4096}, 0);
  if (fault == "hands on, waits") return start(hand_on, {dim3(2), 64, 4096}, 1);
  if (fault == "many threads") return start(nothing, {dim3(1), 2048}, 0);
  if (fault == "much memory") return start(nothing, {dim3(1), 32, 1 << 20}, 0);
  if (fault == "many together") return start(nothing, together, 0);
  if (fault == "beyond a block's memory") return start(beyond, {dim3(1), 32, 4096}, 4096);
  if (fault == "reads the host's memory") {
    int here = 0;
    return cudaMemcpyAsync(there(), &here, 4, cudaMemcpyDeviceToDevice, stream()) == cudaSuccess &&
           cudaStreamSynchronize(stream()) == cudaSuccess;
  }
  if (fault == "host reads the GPU's") return *there() == 0;
  std::abort();
}

// Of two streams, the second doesn't wait for the first, and then does.
void say_when() {
  int* const value = there();
  cudaStream_t other;
  cudaEvent_t reached;
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  cudaEventCreate(&reached);
  cudaStreamSynchronize(stream());
  start_on(stream(), set, {dim3(1), 1}, value);
  for (const bool waits : {false, true}) {
    int found = -1;
    if (waits) cudaEventRecord(reached, stream()), cudaStreamWaitEvent(other, reached, 0);
    cudaMemcpyAsync(&found, value, sizeof found, cudaMemcpyDeviceToHost, other);
    std::printf(waits ? "%s\n" : "%s ", found == 1 ? "new" : "old");
  }
}

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl

int main(int, char** arguments) {
  const std::string asked = arguments[1];
  if (asked != "late") return nengo_dl::cuda::does(asked) ? 0 : 1;
  nengo_dl::cuda::say_when();
  return 0;
}
