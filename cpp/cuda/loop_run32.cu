#include "cuda/loop_kernels.h"

namespace nengo_dl {
namespace cuda {

template <>
void start_loop(const RunLoop<float>& loop, const LoopShape& shape, int64_t groups) {
  start_blocks<float, RunLoop<float>, Frame<float>>(loop, shape, groups, loop.frame.batch);
}

}  // namespace cuda
}  // namespace nengo_dl
