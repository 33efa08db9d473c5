#include "cuda/loop_kernels.h"

namespace nengo_dl {
namespace cuda {

template <>
void start_loop_together(const RunLoop<float>& loop, const LoopShape& shape) {
  start_grid<float, RunLoop<float>, Frame<float>>(loop, shape, loop.frame.batch);
}

}  // namespace cuda
}  // namespace nengo_dl
