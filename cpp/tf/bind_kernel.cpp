// NengoDL>Bind on the CPU, and the runs of what it binds.
#include "engine/bound.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/platform/tensor_float_32_utils.h"
#include "tf/compiled_cache.h"
#include "tf/run_call.h"
#include "tf/variables.h"

namespace nengo_dl {
namespace {

using absl::Status;
using tensorflow::HandleFromInput;
using tensorflow::LookupResource;
using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::Var;
using tensorflow::core::RefCountPtr;

void throw_if(const Status& status) {
  if (!status.ok()) throw std::invalid_argument(std::string(status.message()));
}

// A program, how to run it, and the variables that it runs on.
class VariableProgram : public BoundProgram {
 public:
  // Places among the variables that every program has.
  enum { kState, kIstate, kSteps, kVariables };

  VariableProgram(std::shared_ptr<const Compiled> compiled, std::vector<char> keep_last, int64_t callbacks, int threads)
      : compiled_(std::move(compiled)), keep_last_(std::move(keep_last)), callbacks_(callbacks), threads_(threads) {}

  void add(RefCountPtr<Var> var, std::string name, tensorflow::DataType dtype, int64_t items, int64_t elements) {
    vars_.push_back({std::move(var), std::move(name), dtype, items, elements});
  }
  void set_batch(int64_t batch) { batch_ = batch; }

  const Program& program() const override { return compiled_->program(); }
  int64_t batch() const override { return batch_; }
  const std::vector<char>& keep_last() const override { return keep_last_; }

  int64_t steps_done() const override {
    Tensor steps;
    throw_if(read(vars_[kSteps], &steps));
    return *steps.flat<int64_t>().data();
  }

  BoundResult run(const BoundArgs& args) const override {
    return program().float64 ? run_as<double>(args) : run_as<float>(args);
  }

 private:
  template <class T>
  BoundResult run_as(const BoundArgs& bound) const {
    const Program& p = program();
    WrittenVars written(callbacks_ >= 0, bound.items);
    std::vector<Tensor> constants;
    for (int i = 0; i < kVariables; ++i) written.add(vars_[i], bound.keep_state);
    for (size_t i = 0; i < p.params.size(); ++i) {
      const BoundVar& var = vars_[kVariables + i];
      if (p.params[i].learned) {
        written.add(var, true);
        continue;
      }
      constants.emplace_back();
      throw_if(read(var, &constants.back()));
    }
    throw_if(written.lock());
    written.own();
    RunArgs<T> args = arguments<T>(bound);
    args.state = written.owned(kState).flat<T>().data();
    args.istate = written.owned(kIstate).flat<int32_t>().data();
    size_t learned = kVariables, constant = 0;
    for (const Param& param : p.params) {
      Tensor& value = param.learned ? written.owned(learned++) : constants[constant++];
      args.params.push_back(value.flat<T>().data());
    }
    int64_t* steps = written.owned(kSteps).flat<int64_t>().data();
    BoundResult result;
    result.first_step = args.first_step = *steps;
    const std::shared_ptr<Callbacks> table = callbacks_ >= 0 ? find_callbacks(callbacks_) : nullptr;
    args.callbacks = table.get();
    static_cast<RunResult&>(result) = compiled_->run(args);
    *steps += result.steps;
    if (!bound.whole || result.steps == args.n_steps) written.commit();
    return result;
  }

  template <class T>
  RunArgs<T> arguments(const BoundArgs& bound) const {
    RunArgs<T> args;
    args.batch = batch_, args.n_steps = bound.n_steps, args.time_limit = bound.time_limit;
    args.threads = threads_, args.keep_last = keep_last_, args.kept_steps = bound.kept_steps;
    args.tf32 = tensorflow::tensor_float_32_execution_enabled();
    for (const void* input : bound.inputs) args.inputs.push_back(static_cast<const T*>(input));
    for (void* output : bound.outputs) args.outputs.push_back(static_cast<T*>(output));
    args.params.reserve(program().params.size());
    return args;
  }

  std::shared_ptr<const Compiled> compiled_;
  std::vector<char> keep_last_;
  int64_t callbacks_;
  int threads_;
  int64_t batch_ = 0;
  std::vector<BoundVar> vars_;
};

class BindKernel : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    std::shared_ptr<VariableProgram> bound;
    OP_REQUIRES_OK(ctx, make(ctx, &bound));
    OP_REQUIRES_OK(ctx, bind(ctx, bound.get()));
    Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({}), &out));
    out->scalar<int64_t>()() = hand_over(std::move(bound));
  }

 private:
  enum {
    kProgram,
    kKeepLast,
    kCallbacks,
    kThreads,
    kBackend,
    kState,
    kIstate,
    kSteps,
    kParams
  };  // places of the inputs

  static Status invalid(const std::string& text) {
    return absl::InvalidArgumentError(absl::StrCat("NengoDL>Bind: ", text));
  }

  static Status make(OpKernelContext* ctx, std::shared_ptr<VariableProgram>* bound) {
    for (int i : {kProgram, kCallbacks, kThreads, kBackend}) {
      if (ctx->input(i).NumElements() == 1) continue;
      return invalid(absl::StrCat("input ", i, ": expected a scalar, got ", ctx->input(i).shape().DebugString()));
    }
    std::shared_ptr<const Compiled> compiled;
    const std::string bytes = ctx->input(kProgram).flat<tensorflow::tstring>()(0);
    const std::string backend = ctx->input(kBackend).flat<tensorflow::tstring>()(0);
    TF_RETURN_IF_ERROR(compile("NengoDL>Bind", bytes, backend, &compiled));
    const auto given = ctx->input(kKeepLast).flat<int64_t>();
    const size_t outputs = compiled->program().outputs.size();
    std::vector<char> keep_last;
    for (int64_t i = 0; i < given.size(); ++i) keep_last.push_back(given(i) != 0);
    if (keep_last.size() != outputs) {
      return invalid(
          absl::StrCat("'keep_last': expected ", outputs, " entries, one per output, got ", keep_last.size()));
    }
    const int64_t threads = ctx->input(kThreads).flat<int64_t>()(0);
    if (threads < 0) return invalid(absl::StrCat("'threads': expected 0 or more, got ", threads));
    const int64_t callbacks = ctx->input(kCallbacks).flat<int64_t>()(0);
    *bound = std::make_shared<VariableProgram>(std::move(compiled), std::move(keep_last), callbacks,
                                               thread_bound(*ctx, threads));
    return absl::OkStatus();
  }

  static Status bind(OpKernelContext* ctx, VariableProgram* bound) {
    const Program& p = bound->program();
    const tensorflow::DataType dtype = p.float64 ? tensorflow::DT_DOUBLE : tensorflow::DT_FLOAT;
    RefCountPtr<Var> state, istate, steps;
    TF_RETURN_IF_ERROR(LookupResource(ctx, HandleFromInput(ctx, kState), &state));
    TF_RETURN_IF_ERROR(LookupResource(ctx, HandleFromInput(ctx, kIstate), &istate));
    TF_RETURN_IF_ERROR(LookupResource(ctx, HandleFromInput(ctx, kSteps), &steps));
    int64_t batch = 0;
    {
      tensorflow::tf_shared_lock lock(*state->mu());
      const Tensor& value = *state->tensor();
      if (value.dims() == 2) batch = value.dim_size(0);
      if (batch < 1) {
        return invalid(
            absl::StrCat("'state': expected shape (minibatch, ", p.state_size, "), got ", value.shape().DebugString()));
      }
    }
    bound->set_batch(batch);
    bound->add(std::move(state), "state", dtype, batch, batch * p.state_size);
    bound->add(std::move(istate), "istate", tensorflow::DT_INT32, batch, batch * p.istate_size);
    bound->add(std::move(steps), "steps_done", tensorflow::DT_INT64, 0, 1);
    OpInputList params;
    TF_RETURN_IF_ERROR(ctx->input_list("params", &params));
    if (static_cast<size_t>(params.size()) != p.params.size()) {
      return invalid(absl::StrCat("params: expected ", p.params.size(), ", as the program has, got ", params.size()));
    }
    for (size_t i = 0; i < p.params.size(); ++i) {
      const Param& param = p.params[i];
      RefCountPtr<Var> var;
      TF_RETURN_IF_ERROR(LookupResource(ctx, HandleFromInput(ctx, kParams + i), &var));
      const int64_t items = param.learned ? batch : 0;
      int64_t elements;
      if (__builtin_mul_overflow(param.learned ? items : 1, param.size, &elements))
        return invalid(absl::StrCat("'", param.name, "': expected what memory can hold, got ", items, " times ",
                                    param.size, " elements"));
      bound->add(std::move(var), param.name, dtype, items, elements);
    }
    return absl::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("NengoDL>Bind").Device(tensorflow::DEVICE_CPU), BindKernel);

}  // namespace
}  // namespace nengo_dl
