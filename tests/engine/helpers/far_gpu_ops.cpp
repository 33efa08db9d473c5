// Ops and kernels for the GPU of far_gpu.cpp (tf.load_op_library): an op whose output comes late, and updates of
// variables. TensorFlow's own updates for a plugin's device let the host write to the device's memory, and crash.
#include <cstdint>
#include <vector>

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/framework/tensor_util.h"
#include "xla/stream_executor/stream.h"

namespace {

namespace tf = ::tensorflow;
using Memory = stream_executor::DeviceAddressBase;

Memory memory_of(const tf::Tensor& tensor) { return Memory(tensor.data(), tensor.TotalBytes()); }

REGISTER_OP("FarGpu>Late")
    .Input("x: T")
    .Output("y: T")
    .Attr("T: {float, double}")
    .SetShapeFn(tf::shape_inference::UnchangedShape);

// y = x, which nobody can see before the stream has come so far.
class Late : public tf::OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(tf::OpKernelContext* ctx) override {
    const tf::Tensor& x = ctx->input(0);
    tf::Tensor* y = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, x.shape(), &y));
    if (x.TotalBytes() == 0) return;
    Memory to = memory_of(*y);
    OP_REQUIRES_OK(ctx, ctx->op_device_context()->stream()->Memcpy(&to, memory_of(x), x.TotalBytes()));
  }
};

class AtOnce : public tf::OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(tf::OpKernelContext* ctx) override { ctx->set_output(0, tf::tensor::DeepCopy(ctx->input(0))); }
};

// Adds (sign 1) or subtracts (-1) on the host, from copies.
template <class T, int sign>
class Update : public tf::OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(tf::OpKernelContext* ctx) override {
    tf::core::RefCountPtr<tf::Var> variable;
    OP_REQUIRES_OK(ctx, tf::LookupResource(ctx, tf::HandleFromInput(ctx, 0), &variable));
    const tf::mutex_lock hold(*variable->mu());
    OP_REQUIRES(ctx, variable->is_initialized, absl::FailedPreconditionError("The variable has no value yet."));
    const tf::Tensor& value = ctx->input(1);
    OP_REQUIRES(ctx, variable->tensor()->shape().IsSameSize(value.shape()),
                absl::InvalidArgumentError("The value has another shape than the variable."));
    if (value.TotalBytes() > 0) OP_REQUIRES_OK(ctx, update(ctx, *variable, value));
  }

 private:
  // Copies on the stream come after what it still has to do with either tensor.
  static absl::Status update(tf::OpKernelContext* ctx, tf::Var& variable, const tf::Tensor& value) {
    stream_executor::Stream& stream = *ctx->op_device_context()->stream();
    tf::Tensor& sum = *variable.tensor();
    const uint64_t bytes = value.TotalBytes();
    std::vector<T> numbers(value.NumElements()), added(value.NumElements());
    TF_RETURN_IF_ERROR(stream.Memcpy(numbers.data(), memory_of(sum), bytes));
    TF_RETURN_IF_ERROR(stream.Memcpy(added.data(), memory_of(value), bytes));
    TF_RETURN_IF_ERROR(stream.BlockHostUntilDone());
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] += sign * added[i];
    if (variable.copy_on_read_mode.load() || !sum.RefCountIsOne()) {  // somebody has read it, and keeps that value
      tf::Tensor fresh;
      TF_RETURN_IF_ERROR(ctx->allocate_temp(sum.dtype(), sum.shape(), &fresh));
      sum = fresh;
    }
    Memory to = memory_of(sum);
    TF_RETURN_IF_ERROR(stream.Memcpy(&to, numbers.data(), bytes));
    return stream.BlockHostUntilDone();
  }
};

#define REGISTER_LATE(T)                                                                            \
  REGISTER_KERNEL_BUILDER(Name("FarGpu>Late").Device(tf::DEVICE_GPU).TypeConstraint<T>("T"), Late); \
  REGISTER_KERNEL_BUILDER(Name("FarGpu>Late").Device(tf::DEVICE_CPU).TypeConstraint<T>("T"), AtOnce)
REGISTER_LATE(float);
REGISTER_LATE(double);

#define REGISTER_UPDATE(name, T, sign)                                                                         \
  REGISTER_KERNEL_BUILDER(Name(name).Device(tf::DEVICE_GPU).HostMemory("resource").TypeConstraint<T>("dtype"), \
                          Update<T, sign>)
#define REGISTER_UPDATES(T)                     \
  REGISTER_UPDATE("AssignAddVariableOp", T, 1); \
  REGISTER_UPDATE("AssignSubVariableOp", T, -1)
REGISTER_UPDATES(float);
REGISTER_UPDATES(double);
REGISTER_UPDATES(int64_t);

}  // namespace
