#include "cuda/loop_kernels.h"

namespace nengo_dl {
namespace cuda {

template <>
void start_loop_together(const RunLoop<double>& loop, const LoopShape& shape) {
  start_grid<double, RunLoop<double>, Frame<double>>(loop, shape, loop.frame.batch);
}

}  // namespace cuda
}  // namespace nengo_dl
