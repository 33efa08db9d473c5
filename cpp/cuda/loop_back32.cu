#include "cuda/loop_kernels.h"

namespace nengo_dl {
namespace cuda {

template <>
void start_loop(const BackLoop<float>& loop, const LoopShape& shape, int64_t groups) {
  start_blocks<float, BackLoop<float>, GradFrame<float>>(loop, shape, groups, loop.frame.adjoint.batch);
}

}  // namespace cuda
}  // namespace nengo_dl
