#include "cuda/conv_tiles_run.h"

namespace nengo_dl {
namespace cuda {

bool run_conv_tiles(const MapJob<double>& job, const std::string& asked) { return run_tiles_of(job, asked); }
bool run_conv_tiles(const WeightJob<double>& job, const std::string& asked) { return run_tiles_of(job, asked); }

}  // namespace cuda
}  // namespace nengo_dl
