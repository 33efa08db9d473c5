#include "cuda/max_pool.h"

namespace nengo_dl {
namespace cuda {
namespace {

const DeviceOp<MaxPoolOp> max_pool("max_pool");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
