#include "cuda/wide_loop_start.h"

namespace nengo_dl {
namespace cuda {

template void start_wide(const WideCall<double>&, int64_t, int64_t);

}  // namespace cuda
}  // namespace nengo_dl
