#include "cuda/loop_kernels.h"

namespace nengo_dl {
namespace cuda {

template <>
void start_loop_together(const BackLoop<float>& loop, const LoopShape& shape) {
  start_grid<float, BackLoop<float>, GradFrame<float>>(loop, shape, loop.frame.adjoint.batch);
}

}  // namespace cuda
}  // namespace nengo_dl
