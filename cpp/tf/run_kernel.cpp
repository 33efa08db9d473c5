// NengoDL>Run: checks shapes, hands memory to the engine, turns exceptions into Status.
#include "tf/run_attrs.h"
#include "tf/run_shapes.h"
#include "tf/run_tape.h"

namespace nengo_dl {
namespace {

using absl::Status;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

template <class T>
class RunKernel : public OpKernel {
 public:
  explicit RunKernel(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, attrs_.read(ctx, std::is_same_v<T, double>));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("partial", &partial_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("record", &record_));
  }

  void Compute(OpKernelContext* ctx) override {
    RunCall<T> call(ctx, *attrs_.compiled, attrs_.options);
    OP_REQUIRES_OK(ctx, call.begin());
    OP_REQUIRES_OK(ctx, call.set_state_shapes(ctx->input(kState), ctx->input(kIstate)));
    OP_REQUIRES_OK(ctx, call.set_steps(ctx->input(kFirstStep), ctx->input(kNSteps)));
    OP_REQUIRES_OK(ctx, call.set_time_limit(ctx->input(kFifth)));
    OP_REQUIRES_OK(ctx, call.add_inputs_and_params());
    OP_REQUIRES_OK(ctx, call.allocate_outputs());
    OP_REQUIRES_OK(ctx, forward_state(ctx, &call));
    const int steps_at = static_cast<int>(program().outputs.size() + attrs_.learned.size()) + 2;
    OP_REQUIRES_OK(ctx, allocate_tape(ctx, steps_at + 2, &call));
    OP_REQUIRES_OK(ctx, call.run());
    const std::string error = call.result.error ? message_of(call.result.error) : "";
    OP_REQUIRES(ctx, partial_ || !call.result.error, absl::UnknownError(error));
    OP_REQUIRES_OK(ctx, call.finish(steps_at, error));
  }

 private:
  const Program& program() const { return attrs_.program(); }

  // An output that starts as a copy of an input; in place where nobody else looks at the input.
  template <class V>
  static Status forward(OpKernelContext* ctx, const RunCall<T>& call, Space& space, int from, int to, V** data) {
    Tensor* out = nullptr;
    const V* before = ctx->input(from).flat<V>().data();
    TF_RETURN_IF_ERROR(ctx->forward_input_or_allocate_output({from}, to, ctx->input(from).shape(), &out));
    *data = out->flat<V>().data();
    if (*data == before) return absl::OkStatus();
    return call.safely([&] { space.copy(before, *data, out->NumElements()); });
  }

  Status forward_state(OpKernelContext* ctx, RunCall<T>* call) const {
    int out = static_cast<int>(program().outputs.size());
    for (int64_t i : attrs_.learned) {
      const int from = static_cast<int>(kInputs + program().inputs.size() + i);
      TF_RETURN_IF_ERROR(forward(ctx, *call, call->space(), from, out++, &call->args.params[i]));
    }
    TF_RETURN_IF_ERROR(forward(ctx, *call, call->space(), kState, out++, &call->args.state));
    return forward(ctx, *call, host_space(), kIstate, out++, &call->args.istate);
  }

  Status allocate_tape(OpKernelContext* ctx, int at, RunCall<T>* call) const {
    Tensor* out = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(at, {}, &out));
    std::shared_ptr<Tape> tape;
    if (record_) {
      TF_RETURN_IF_ERROR(call->new_tape(attrs_.record, &tape));
      call->args.record = attrs_.record;
      call->args.tape = tape.get();  // the output keeps it
    }
    out->scalar<tensorflow::Variant>()() = RunTape(std::move(tape), attrs_.compiled->on_host());
    return absl::OkStatus();
  }

  RunAttrs attrs_;
  bool partial_ = false, record_ = false;
};

#define REGISTER(T)                                                                                                 \
  REGISTER_KERNEL_BUILDER(Name("NengoDL>Run").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), RunKernel<T>); \
  REGISTER_KERNEL_BUILDER(Name("NengoDL>RunOnGpu")                                                                  \
                              .Device(tensorflow::DEVICE_GPU)                                                       \
                              .TypeConstraint<T>("T")                                                               \
                              .HostMemory("istate")                                                                 \
                              .HostMemory("first_step")                                                             \
                              .HostMemory("n_steps")                                                                \
                              .HostMemory("time_limit")                                                             \
                              .HostMemory("istate_out")                                                             \
                              .HostMemory("steps")                                                                  \
                              .HostMemory("error")                                                                  \
                              .HostMemory("tape"),                                                                  \
                          RunKernel<T>);
REGISTER(float)
REGISTER(double)

}  // namespace
}  // namespace nengo_dl
