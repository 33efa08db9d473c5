#include "cuda/copy.h"

namespace nengo_dl {
namespace cuda {
namespace {

const DeviceOp<FillOp> fill("fill");
const DeviceOp<CopyOp> copy("copy");
const DeviceOp<ElementwiseOp> elementwise("elementwise");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
