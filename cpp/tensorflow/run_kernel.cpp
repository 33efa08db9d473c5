// NengoDL>Run on the CPU: checks shapes, hands memory to the engine, turns exceptions into Status.
#include "absl/strings/str_join.h"
#include "compiled_cache.h"
#include "run_call.h"

namespace nengo_dl {
namespace {

using absl::Status;
using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

// Places of the op's inputs; the parameters follow the model's inputs.
enum { kState, kIstate, kFirstStep, kNSteps, kTimeLimit, kInputs };

template <class T>
class RunKernel : public OpKernel {
 public:
  explicit RunKernel(OpKernelConstruction* ctx) : OpKernel(ctx) {
    std::string bytes;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("program", &bytes));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("keep_last", &options_.keep_last));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("callbacks", &options_.callbacks));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("partial", &partial_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("threads", &options_.threads));
    OP_REQUIRES(ctx, options_.threads >= 0,
                absl::InvalidArgumentError(
                    absl::StrCat("NengoDL>Run: 'threads' is due to be 0 or more, came ", options_.threads)));
    OP_REQUIRES_OK(ctx, compile("NengoDL>Run", bytes, &compiled_));
    OP_REQUIRES_OK(ctx, check_attrs(ctx));
  }

  void Compute(OpKernelContext* ctx) override {
    RunCall<T> call(ctx, *compiled_, options_);
    OP_REQUIRES_OK(ctx, call.set_state_shapes(ctx->input(kState), ctx->input(kIstate)));
    OP_REQUIRES_OK(ctx, call.set_steps(ctx->input(kFirstStep), ctx->input(kNSteps), ctx->input(kTimeLimit)));
    OP_REQUIRES_OK(ctx, read_inputs(ctx, &call));
    OP_REQUIRES_OK(ctx, call.allocate_outputs());
    OP_REQUIRES_OK(ctx, forward_state(ctx, &call));
    OP_REQUIRES_OK(ctx, call.run());
    const std::string error = call.result.error ? message_of(call.result.error) : "";
    OP_REQUIRES(ctx, partial_ || !call.result.error, absl::UnknownError(error));
    OP_REQUIRES_OK(ctx, call.finish(static_cast<int>(program().outputs.size() + learned_.size()) + 2, false, error));
  }

 private:
  const Program& program() const { return compiled_->program(); }

  // The attributes that TensorFlow needs for shapes repeat what the program says.
  Status check_attrs(OpKernelConstruction* ctx) {
    const Program& p = program();
    if (p.float64 != std::is_same_v<T, double>) {
      return absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: the program computes in ",
                                                     p.float64 ? "float64" : "float32", ", but the op's T is ",
                                                     std::is_same_v<T, double> ? "float64" : "float32"));
    }
    std::vector<int64_t> sizes, learned, due_sizes;
    TF_RETURN_IF_ERROR(ctx->GetAttr("output_sizes", &sizes));
    TF_RETURN_IF_ERROR(ctx->GetAttr("learned", &learned));
    for (size_t i = 0; i < p.params.size(); ++i) {
      if (p.params[i].learned) learned_.push_back(i);
    }
    for (const Port& port : p.outputs) due_sizes.push_back(port.size);
    TF_RETURN_IF_ERROR(expect_list("output_sizes", sizes, due_sizes));
    TF_RETURN_IF_ERROR(expect_list("learned", learned, learned_));
    TF_RETURN_IF_ERROR(expect_count(ctx, "n_inputs", p.inputs.size()));
    TF_RETURN_IF_ERROR(expect_count(ctx, "n_params", p.params.size()));
    TF_RETURN_IF_ERROR(expect_count(ctx, "n_outputs", p.outputs.size()));
    TF_RETURN_IF_ERROR(expect_count(ctx, "n_learned", learned_.size()));
    if (options_.keep_last.size() == p.outputs.size()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: 'keep_last' has ", options_.keep_last.size(),
                                                   " entries, the program has ", p.outputs.size(), " outputs"));
  }

  static Status expect_list(const char* name, const std::vector<int64_t>& came, const std::vector<int64_t>& due) {
    if (came == due) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: '", name, "' is [", absl::StrJoin(came, ", "),
                                                   "], the program says [", absl::StrJoin(due, ", "), "]"));
  }

  static Status expect_count(OpKernelConstruction* ctx, const char* name, size_t due) {
    int64_t came = 0;
    TF_RETURN_IF_ERROR(ctx->GetAttr(name, &came));
    if (came == static_cast<int64_t>(due)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: '", name, "' is ", came, ", the program says ", due));
  }

  static Status read_inputs(OpKernelContext* ctx, RunCall<T>* call) {
    OpInputList inputs, params;
    TF_RETURN_IF_ERROR(ctx->input_list("inputs", &inputs));
    TF_RETURN_IF_ERROR(ctx->input_list("params", &params));
    for (int i = 0; i < inputs.size(); ++i) TF_RETURN_IF_ERROR(call->add_input(i, inputs[i]));
    for (int i = 0; i < params.size(); ++i) TF_RETURN_IF_ERROR(call->add_param(i, params[i]));
    return absl::OkStatus();
  }

  // An output that starts as a copy of an input; in place where nobody else looks at the input.
  template <class V>
  static Status forward(OpKernelContext* ctx, int from, int to, V** data) {
    Tensor* out = nullptr;
    const void* before = ctx->input(from).tensor_data().data();
    TF_RETURN_IF_ERROR(ctx->forward_input_or_allocate_output({from}, to, ctx->input(from).shape(), &out));
    *data = out->flat<V>().data();
    if (static_cast<const void*>(*data) != before && out->NumElements() > 0) {
      std::memcpy(*data, before, out->TotalBytes());
    }
    return absl::OkStatus();
  }

  Status forward_state(OpKernelContext* ctx, RunCall<T>* call) const {
    int out = static_cast<int>(program().outputs.size());
    for (int64_t i : learned_) {
      const int from = static_cast<int>(kInputs + program().inputs.size() + i);
      TF_RETURN_IF_ERROR(forward(ctx, from, out++, &call->args.params[i]));
    }
    TF_RETURN_IF_ERROR(forward(ctx, kState, out++, &call->args.state));
    return forward(ctx, kIstate, out++, &call->args.istate);
  }

  std::shared_ptr<const Compiled> compiled_;
  RunOptions options_;
  std::vector<int64_t> learned_;
  bool partial_ = false;
};

REGISTER_KERNEL_BUILDER(Name("NengoDL>Run").Device(tensorflow::DEVICE_CPU).TypeConstraint<float>("T"),
                        RunKernel<float>);
REGISTER_KERNEL_BUILDER(Name("NengoDL>Run").Device(tensorflow::DEVICE_CPU).TypeConstraint<double>("T"),
                        RunKernel<double>);

}  // namespace
}  // namespace nengo_dl
