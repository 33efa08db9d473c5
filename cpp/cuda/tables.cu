#include "cuda/tables.h"

namespace nengo_dl {
namespace cuda {
namespace {

const DeviceOp<TableOp> table("table");
const DeviceOp<InterpolateOp> interpolate("interpolate");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
