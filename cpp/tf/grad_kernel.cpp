// NengoDL>RunGrad, and NengoDL>NoGradient.
#include "tf/run_attrs.h"
#include "tf/run_shapes.h"
#include "tf/run_tape.h"

namespace nengo_dl {
namespace {

using absl::Status;
using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

template <class T>
class GradKernel : public OpKernel {
 public:
  explicit GradKernel(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, attrs_.read(ctx, std::is_same_v<T, double>));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("want_inputs", &want_inputs_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("want_params", &want_params_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("want_state", &want_state_));
    OP_REQUIRES_OK(ctx, check_places(type_string(), "want_inputs", want_inputs_, program().inputs.size()));
    OP_REQUIRES_OK(ctx, check_places(type_string(), "want_params", want_params_, program().params.size()));
    OP_REQUIRES_OK(ctx, expect_count(ctx, "n_input_grads", want_inputs_.size()));
    OP_REQUIRES_OK(ctx, expect_count(ctx, "n_param_grads", want_params_.size()));
    OP_REQUIRES_OK(ctx, expect_count(ctx, "n_state_grads", want_state_ ? 1 : 0));
  }

  void Compute(OpKernelContext* ctx) override {
    RunCall<T> call(ctx, *attrs_.compiled, attrs_.options);
    OP_REQUIRES_OK(ctx, call.begin());
    OP_REQUIRES_OK(ctx, call.set_state_shapes(ctx->input(kState), ctx->input(kIstate)));
    OP_REQUIRES_OK(ctx, call.set_steps(ctx->input(kFirstStep), ctx->input(kNSteps)));
    OP_REQUIRES_OK(ctx, check_steps(ctx, call));
    OP_REQUIRES_OK(ctx, call.add_inputs_and_params());
    GradArgs<T> grad;
    OP_REQUIRES_OK(ctx, read_tape(ctx, call, &grad));
    OP_REQUIRES_OK(ctx, read_gradients(ctx, call, &grad));
    OP_REQUIRES_OK(ctx, allocate_gradients(ctx, &grad));
    // the engine only reads them: it works on copies
    call.args.state = const_cast<T*>(ctx->input(kState).template flat<T>().data());
    call.args.istate = const_cast<int32_t*>(ctx->input(kIstate).template flat<int32_t>().data());
    call.args.record = attrs_.record;
    OP_REQUIRES_OK(ctx, call.grad(&grad));
  }

 private:
  const Program& program() const { return attrs_.program(); }
  int tape_place() const { return static_cast<int>(kInputs + program().inputs.size() + program().params.size()); }

  static Status expect_count(OpKernelConstruction* ctx, const char* name, size_t expected) {
    int64_t got = 0;
    TF_RETURN_IF_ERROR(ctx->GetAttr(name, &got));
    if (got == static_cast<int64_t>(expected)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "NengoDL>RunGrad: '", name, "': expected the number of gradients wanted, ", expected, ", got ", got));
  }

  static Status check_steps(OpKernelContext* ctx, const RunCall<T>& call) {
    int64_t done = 0;
    TF_RETURN_IF_ERROR(call.scalar("steps", ctx->input(kFifth), &done));
    if (done == call.args.n_steps) return absl::OkStatus();
    return call.invalid(
        absl::StrCat("a run that stopped early has no gradient: expected ", call.args.n_steps, " steps, got ", done));
  }

  Status read_tape(OpKernelContext* ctx, const RunCall<T>& call, GradArgs<T>* grad) const {
    const Tensor& input = ctx->input(tape_place());
    if (!tensorflow::TensorShapeUtils::IsScalar(input.shape())) {
      return call.invalid(
          absl::StrCat("input 'tape': expected shape [] (a scalar), got ", input.shape().DebugString()));
    }
    const auto& value = input.scalar<tensorflow::Variant>()();
    const auto* recorded = value.get<RunTape>();
    if (recorded == nullptr) {
      return call.invalid(absl::StrCat("input 'tape': expected what this run recorded, got a variant of type '",
                                       value.TypeName(), "'"));
    }
    if (!recorded->tape()) return absl::OkStatus();
    for (int64_t i : want_params_) {
      if (attrs_.record.wanted_params[i]) continue;
      return call.invalid(
          absl::StrCat("'want_params': expected some of those in 'wanted', for which the tape was recorded, got ", i,
                       " (", program().params[i].name, ")"));
    }
    if (recorded->on_host() != attrs_.compiled->on_host())
      return call.invalid("input 'tape': expected what this run recorded, got a tape in the memory of another device");
    grad->tape = recorded->tape().get();  // the input keeps it
    return absl::OkStatus();
  }

  Status read_gradients(OpKernelContext* ctx, const RunCall<T>& call, GradArgs<T>* grad) const {
    const Program& p = program();
    OpInputList outputs, learned;
    TF_RETURN_IF_ERROR(ctx->input_list("output_grads", &outputs));
    TF_RETURN_IF_ERROR(ctx->input_list("learned_grads", &learned));
    const int64_t batch = call.args.batch;
    std::vector<Values<T>> given;
    const auto add = [&given](const Tensor& tensor) {
      given.push_back({tensor.flat<T>().data(), tensor.NumElements()});
    };
    for (size_t i = 0; i < p.outputs.size(); ++i) {
      const int64_t rows = attrs_.options.keep_last[i] ? 1 : call.args.n_steps;
      TF_RETURN_IF_ERROR(call.expect_shape(numbered("output_grads", i, p.outputs[i].name), outputs[i],
                                           {batch, rows, p.outputs[i].size}, "minibatch, steps, size"));
      add(outputs[i]);
    }
    for (size_t i = 0; i < attrs_.learned.size(); ++i) {
      const Param& param = p.params[attrs_.learned[i]];
      TF_RETURN_IF_ERROR(call.expect_param(numbered("learned_grads", i, param.name), learned[i], param));
      add(learned[i]);
    }
    const Tensor& state = ctx->input(ctx->num_inputs() - 1);
    TF_RETURN_IF_ERROR(call.expect_shape("state_out_grad", state, {batch, p.state_size}, "minibatch, state_size"));
    add(state);
    TF_RETURN_IF_ERROR(call.safely([&] { drop_zeros(call.space(), &given); }));
    auto next = given.begin();
    for (size_t i = 0; i < p.outputs.size(); ++i) grad->output_grads.push_back((next++)->at);
    grad->learned_grads.assign(p.params.size(), nullptr);
    for (int64_t i : attrs_.learned) grad->learned_grads[i] = (next++)->at;
    grad->state_out_grad = next->at;
    return absl::OkStatus();
  }

  // A GradientTape gives zeros for what the loss does not depend on; the engine computes nothing for a null pointer.
  static void drop_zeros(Space& space, std::vector<Values<T>>* given) {
    const std::vector<bool> zero = space.all_zero(*given);
    for (size_t i = 0; i < zero.size(); ++i)
      if (zero[i]) (*given)[i].at = nullptr;
  }

  Status allocate_gradients(OpKernelContext* ctx, GradArgs<T>* grad) const {
    const size_t inputs = program().inputs.size();
    int out = 0;
    grad->input_grads.assign(inputs, nullptr);
    grad->param_grads.assign(program().params.size(), nullptr);
    for (int64_t i : want_inputs_) {
      TF_RETURN_IF_ERROR(allocate(ctx, out++, ctx->input(kInputs + i), &grad->input_grads[i]));
    }
    for (int64_t i : want_params_) {
      TF_RETURN_IF_ERROR(allocate(ctx, out++, ctx->input(kInputs + inputs + i), &grad->param_grads[i]));
    }
    if (!want_state_) return absl::OkStatus();
    return allocate(ctx, out, ctx->input(kState), &grad->state_grad);
  }

  static Status allocate(OpKernelContext* ctx, int out, const Tensor& like, T** data) {
    Tensor* tensor = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(out, like.shape(), &tensor));
    *data = tensor->flat<T>().data();
    return absl::OkStatus();
  }

  RunAttrs attrs_;
  std::vector<int64_t> want_inputs_, want_params_;
  bool want_state_ = false;
};

#define REGISTER(T)                                                                                      \
  REGISTER_KERNEL_BUILDER(Name("NengoDL>RunGrad").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
                          GradKernel<T>);                                                                \
  REGISTER_KERNEL_BUILDER(Name("NengoDL>RunGradOnGpu")                                                   \
                              .Device(tensorflow::DEVICE_GPU)                                            \
                              .TypeConstraint<T>("T")                                                    \
                              .HostMemory("istate")                                                      \
                              .HostMemory("first_step")                                                  \
                              .HostMemory("n_steps")                                                     \
                              .HostMemory("steps")                                                       \
                              .HostMemory("tape"),                                                       \
                          GradKernel<T>);
REGISTER(float)
REGISTER(double)

class NoGradientKernel : public OpKernel {
 public:
  explicit NoGradientKernel(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("message", &message_));
  }

  void Compute(OpKernelContext* ctx) override { ctx->CtxFailure(absl::UnimplementedError(message_)); }

 private:
  std::string message_;
};

REGISTER_KERNEL_BUILDER(Name("NengoDL>NoGradient").Device(tensorflow::DEVICE_CPU), NoGradientKernel);

}  // namespace
}  // namespace nengo_dl
