#include "cuda/loop_kernels.h"

namespace nengo_dl {
namespace cuda {

template <>
void start_loop(const BackLoop<double>& loop, const LoopShape& shape, int64_t groups) {
  start_blocks<double, BackLoop<double>, GradFrame<double>>(loop, shape, groups, loop.frame.adjoint.batch);
}

}  // namespace cuda
}  // namespace nengo_dl
