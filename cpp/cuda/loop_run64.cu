#include "cuda/loop_kernels.h"

namespace nengo_dl {
namespace cuda {

template <>
void start_loop(const RunLoop<double>& loop, const LoopShape& shape, int64_t groups) {
  start_blocks<double, RunLoop<double>, Frame<double>>(loop, shape, groups, loop.frame.batch);
}

}  // namespace cuda
}  // namespace nengo_dl
