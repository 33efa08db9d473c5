#include "cuda/filters.h"

namespace nengo_dl {
namespace cuda {
namespace {

const DeviceOp<LowpassOp> lowpass("lowpass");
const DeviceOp<TriangleOp> triangle("triangle");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
