// What TensorFlow does with tapes by itself: zeros, sums of zeros, and moves from device to device.
#include "tf/run_tape.h"

#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/variant_op_registry.h"

namespace nengo_dl {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::TypeIndex;
using tensorflow::UnaryVariantOpRegistry;
namespace variant_op_registry_fn_registration = tensorflow::variant_op_registry_fn_registration;  // of the macros

absl::Status zeros_like(OpKernelContext*, const RunTape&, RunTape* zeros) {
  *zeros = RunTape();
  return absl::OkStatus();
}

// Of derivatives by a tape, which are zeros.
absl::Status add(OpKernelContext*, const RunTape&, const RunTape&, RunTape* sum) {
  *sum = RunTape();
  return absl::OkStatus();
}

// The memory stays where the run left it, which is where its gradient looks for it.
absl::Status copy(const RunTape& from, RunTape* to, const UnaryVariantOpRegistry::AsyncTensorDeviceCopyFn&) {
  *to = from;
  return absl::OkStatus();
}

#define REGISTER(device)                                                                                          \
  REGISTER_UNARY_VARIANT_UNARY_OP_FUNCTION(tensorflow::ZEROS_LIKE_VARIANT_UNARY_OP, device, RunTape, zeros_like); \
  REGISTER_UNARY_VARIANT_BINARY_OP_FUNCTION(tensorflow::ADD_VARIANT_BINARY_OP, device, RunTape, add);
REGISTER(tensorflow::DEVICE_CPU)
REGISTER(tensorflow::DEVICE_GPU)

#define REGISTER_COPY(direction) \
  INTERNAL_REGISTER_UNARY_VARIANT_DEVICE_COPY_FUNCTION(RunTape, tensorflow::direction, copy);
REGISTER_COPY(HOST_TO_DEVICE)
REGISTER_COPY(DEVICE_TO_HOST)
REGISTER_COPY(DEVICE_TO_DEVICE)

}  // namespace
}  // namespace nengo_dl
