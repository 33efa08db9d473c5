#include "cuda/ports.h"

namespace nengo_dl {
namespace cuda {
namespace {

const DeviceOp<TimeOp> time_op("time");
const DeviceOp<InputOp> input("input");
const DeviceOp<OutputOp> output("output");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
