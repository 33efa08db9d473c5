#include "cuda/sparse.h"

namespace nengo_dl {
namespace cuda {
namespace {

const DeviceOp<SparseOp> sparse("sparse");
const DeviceOp<SparseOp> bsr("bsr");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
