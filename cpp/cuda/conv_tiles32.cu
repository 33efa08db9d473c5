#include "cuda/conv_tiles_run.h"

namespace nengo_dl {
namespace cuda {

bool run_conv_tiles(const MapJob<float>& job, bool always) { return run_tiles_of(job, always); }
bool run_conv_tiles(const WeightJob<float>& job, bool always) { return run_tiles_of(job, always); }

}  // namespace cuda
}  // namespace nengo_dl
