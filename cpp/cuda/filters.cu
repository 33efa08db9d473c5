#include "cuda/filters.h"

#include "cuda/linear_filter.h"

namespace nengo_dl {
namespace cuda {
namespace {

const DeviceOp<LowpassOp> lowpass("lowpass");
const DeviceOp<FilterOp> filter("filter");
const DeviceOp<TriangleOp> triangle("triangle");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
