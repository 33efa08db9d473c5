#include "cuda/team_loop_kernels.h"

namespace nengo_dl {
namespace cuda {

template void start_team(const TeamCall<float>&, const Frame<float>&, int64_t);
template int64_t most_teams<float, Frame<float>>(int64_t, int64_t);

}  // namespace cuda
}  // namespace nengo_dl
