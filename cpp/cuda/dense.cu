#include "cuda/dense.h"

namespace nengo_dl {
namespace cuda {
namespace {

const DeviceOp<DenseOp> dense("dense");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
