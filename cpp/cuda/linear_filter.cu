#include "cuda/linear_filter.h"

namespace nengo_dl {
namespace cuda {
namespace {

const DeviceOp<FilterOp> filter("filter");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
