#include "cuda/noise.h"

namespace nengo_dl {
namespace cuda {
namespace {

const DeviceOp<NoiseOp> noise("noise");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
