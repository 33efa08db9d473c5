#include "cuda/neurons_start.h"

namespace nengo_dl {
namespace cuda {

void start_back(const NeuronsOp<float>& op, const GradFrame<float>& there, int64_t t0, int64_t t1, Pass pass,
                int64_t work) {
  start_back_of_type(op, there, t0, t1, pass, work);
}

}  // namespace cuda
}  // namespace nengo_dl
