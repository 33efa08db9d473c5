#include <stdexcept>

#include "cuda/loop_kernels.h"

namespace nengo_dl {
namespace cuda {

template <>
void start_loop(const BackLoop<double>& loop, const LoopShape& shape, int64_t groups) {
  start_blocks<double, BackLoop<double>, GradFrame<double>>(loop, shape, groups, loop.frame.adjoint.batch);
}

template <>
void start_loop_together(const BackLoop<double>&, const LoopShape&) {
  throw std::logic_error("double precision has no such kernel: LoopBase::choose knows");
}

}  // namespace cuda
}  // namespace nengo_dl
