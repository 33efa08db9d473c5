#include "cuda/conv.h"

namespace nengo_dl {
namespace cuda {
namespace {

const DeviceOp<ConvOp> conv("conv");
const DeviceOp<ConvTransposeOp> conv_transpose("conv_transpose");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
