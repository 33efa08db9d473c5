#include "cuda/loop_kernels.h"

namespace nengo_dl {
namespace cuda {

template <>
void start_loop_together(const BackLoop<double>& loop, const LoopShape& shape) {
  start_grid<double, BackLoop<double>, GradFrame<double>>(loop, shape, loop.frame.adjoint.batch);
}

}  // namespace cuda
}  // namespace nengo_dl
