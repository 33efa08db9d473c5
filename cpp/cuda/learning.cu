#include "cuda/learning.h"

namespace nengo_dl {
namespace cuda {
namespace {

const DeviceOp<PesOp> pes("pes");
const DeviceOp<BcmOp> bcm("bcm");
const DeviceOp<OjaOp> oja("oja");
const DeviceOp<VojaOp> voja("voja");
const DeviceOp<RlsOp> rls("rls");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
