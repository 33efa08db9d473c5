// Starts a wide loop: as a kernel of all processors, or block after block.
#pragma once

#include <stdexcept>
#include <vector>

#include "cuda/wide_loop_run.h"

namespace nengo_dl {
namespace cuda {

#ifdef __CUDACC__

template <class T>
__global__ void __launch_bounds__(kWideThreads, 1) wide_loop(const WideCall<T> call) {
  NDL_BLOCK_MEMORY(memory);
  WideRun<T, WideThreads> run(call, static_cast<int32_t>(blockIdx.x), WideThreads({static_cast<int32_t>(threadIdx.x)}),
                              reinterpret_cast<char*>(memory));
  if (run.items <= 0) return;
  run.all();
}

template <class T>
void start_wide(const WideCall<T>& call, int64_t teams, int64_t bytes) {
  Grid grid{dim3(static_cast<unsigned>(teams * call.count)), kWideThreads, bytes};
  grid.together = true;
  start_kernel(wide_loop<T>, grid, call);
}

#else

// Each block goes on as far as it can. Whatever the order of the blocks, all come to the end.
template <class T>
void run_in_turn(const WideCall<T>& call, size_t count, int64_t bytes) {
  std::vector<std::vector<char> > memory(count, std::vector<char>(static_cast<size_t>(bytes)));
  std::vector<WideRun<T, WideThreads> > runs;
  std::vector<int64_t> step(count, call.t0);
  std::vector<int32_t> next(count, 0);
  runs.reserve(count);
  for (size_t b = 0; b < count; ++b) runs.emplace_back(call, static_cast<int32_t>(b), WideThreads{}, memory[b].data());
  const auto go = [&](size_t b) {
    bool moved = false;
    for (auto& run = runs[b]; step[b] < call.t1; ++step[b], next[b] = 0, moved = true) {
      if (next[b] == 0) run.begin(step[b]);
      for (; next[b] < run.block.ops.count; ++next[b], moved = true)
        if (!run.run(run.ops[next[b]], step[b])) return moved;
    }
    return moved;
  };
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t b = count; b-- > 0;) moved = go(b) || moved;
  }
  for (size_t b = 0; b < count; ++b) {
    if (step[b] < call.t1) throw std::logic_error("blocks of a loop wait for each other");
    runs[b].store();
  }
}

template <class T>
void start_wide(const WideCall<T>& call, int64_t teams, int64_t bytes) {
  const Open open;
  run_in_turn(call, static_cast<size_t>(teams * call.count), bytes);
}

#endif

}  // namespace cuda
}  // namespace nengo_dl
