// NengoDL>Compile and NengoDL>RunInPlace on the CPU.
#include "compiled_cache.h"
#include "run_call.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"

namespace nengo_dl {
namespace {

using absl::Status;
using tensorflow::HandleFromInput;
using tensorflow::LookupResource;
using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::Var;
using tensorflow::core::RefCountPtr;
using Mutex = std::remove_pointer_t<decltype(std::declval<Var>().mu())>;

struct CompiledResource : tensorflow::ResourceBase {
  std::shared_ptr<const Compiled> compiled;
  RunOptions options;

  std::string DebugString() const override { return "a compiled NengoDL program"; }
};

class CompileKernel : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    for (int i : {0, 2, 3}) {
      OP_REQUIRES(ctx, ctx->input(i).NumElements() == 1,
                  absl::InvalidArgumentError(absl::StrCat("NengoDL>Compile: input ", i, " is due to be a scalar, came ",
                                                          ctx->input(i).shape().DebugString())));
    }
    RefCountPtr<CompiledResource> resource(new CompiledResource);
    const std::string bytes = ctx->input(0).flat<tensorflow::tstring>()(0);
    OP_REQUIRES_OK(ctx, compile("NengoDL>Compile", bytes, &resource->compiled));
    RunOptions& options = resource->options;
    const auto keep_last = ctx->input(1).flat<int64_t>();
    options.keep_last.assign(keep_last.data(), keep_last.data() + keep_last.size());
    options.callbacks = ctx->input(2).flat<int64_t>()(0);
    options.threads = ctx->input(3).flat<int64_t>()(0);
    const size_t outputs = resource->compiled->program().outputs.size();
    OP_REQUIRES(ctx, options.keep_last.size() == outputs,
                absl::InvalidArgumentError(absl::StrCat("NengoDL>Compile: 'keep_last' has ", options.keep_last.size(),
                                                        " entries, the program has ", outputs, " outputs")));
    OP_REQUIRES(ctx, options.threads >= 0,
                absl::InvalidArgumentError(
                    absl::StrCat("NengoDL>Compile: 'threads' is due to be 0 or more, came ", options.threads)));
    Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({}), &out));
    // the handle holds the resource: it goes when the last copy of this tensor goes
    out->scalar<tensorflow::ResourceHandle>()() =
        tensorflow::ResourceHandle::MakeRefCountingHandle(resource.release(), ctx->device()->name());
  }
};

REGISTER_KERNEL_BUILDER(Name("NengoDL>Compile").Device(tensorflow::DEVICE_CPU), CompileKernel);

// The variables that a run changes. A program without callbacks works in their memory and locks them meanwhile. Python
// functions may read the variables themselves, so with callbacks it works on copies, which become the values at the
// end.
class WrittenVars {
 public:
  explicit WrittenVars(bool on_copies) : on_copies_(on_copies) {}
  ~WrittenVars() { unlock(); }
  WrittenVars(const WrittenVars&) = delete;
  WrittenVars& operator=(const WrittenVars&) = delete;

  void add(Var* var, std::string name, tensorflow::DataType dtype) {
    vars_.push_back({var, std::move(name), dtype, {}});
  }

  // In the order of the mutexes' addresses, as TensorFlow's own ops do.
  Status lock() {
    for (Written& w : vars_) locked_.push_back(w.var->mu());
    std::sort(locked_.begin(), locked_.end());
    if (std::adjacent_find(locked_.begin(), locked_.end()) != locked_.end()) {
      locked_.clear();
      return absl::InvalidArgumentError(
          "NengoDL>RunInPlace: state, istate, steps_done and the learned parameters are due to be different variables,"
          " two of them are the same");
    }
    for (auto* mutex : locked_) mutex->lock();
    for (const Written& w : vars_) {
      if (w.var->is_initialized && w.var->tensor()->dtype() == w.dtype) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "NengoDL>RunInPlace: variable '", w.name, "' is due to hold ", tensorflow::DataTypeString(w.dtype),
          w.var->is_initialized ? ", it holds " : ", it holds nothing; its type is ",
          tensorflow::DataTypeString(w.var->tensor()->dtype())));
    }
    return absl::OkStatus();
  }

  const Tensor& operator[](size_t i) const { return *vars_[i].var->tensor(); }

  // Memory that nobody else looks at, with the values of the variables. Shapes were checked before.
  Status own(OpKernelContext* ctx) {
    for (Written& w : vars_) {
      Tensor* present = w.var->tensor();
      if (!on_copies_ && (present->RefCountIsOne() || present->NumElements() == 0)) {
        w.tensor = *present;
        continue;
      }
      TF_RETURN_IF_ERROR(ctx->allocate_temp(w.dtype, present->shape(), &w.tensor));
      if (present->NumElements() > 0) {
        std::memcpy(w.tensor.data(), present->tensor_data().data(), present->TotalBytes());
      }
    }
    if (on_copies_) unlock();
    return absl::OkStatus();
  }

  Tensor& owned(size_t i) { return vars_[i].tensor; }

  void commit() {
    if (on_copies_) {
      for (Written& w : vars_) {
        tensorflow::mutex_lock lock(*w.var->mu());
        *w.var->tensor() = w.tensor;
      }
      return;
    }
    for (Written& w : vars_) *w.var->tensor() = w.tensor;
  }

 private:
  struct Written {
    Var* var;
    std::string name;
    tensorflow::DataType dtype;
    Tensor tensor;
  };

  void unlock() {
    for (auto* mutex : locked_) mutex->unlock();
    locked_.clear();
  }

  std::vector<Written> vars_;
  std::vector<Mutex*> locked_;
  bool on_copies_;
};

template <class T>
class InPlaceKernel : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<CompiledResource> resource;
    OP_REQUIRES_OK(ctx, LookupResource(ctx, HandleFromInput(ctx, kCompiled), &resource));
    OP_REQUIRES_OK(ctx, run(ctx, *resource));
  }

 private:
  // Places of the op's inputs.
  enum { kCompiled, kState, kIstate, kStepsDone, kNSteps, kTimeLimit };
  // Places among the written variables; learned parameters follow.
  enum { kWrittenState, kWrittenIstate, kWrittenSteps, kWrittenLearned };

  static Status run(OpKernelContext* ctx, const CompiledResource& resource) {
    const Program& p = resource.compiled->program();
    OpInputList inputs, params;
    TF_RETURN_IF_ERROR(ctx->input_list("inputs", &inputs));
    TF_RETURN_IF_ERROR(ctx->input_list("params", &params));
    RunCall<T> call(ctx, *resource.compiled, resource.options);
    TF_RETURN_IF_ERROR(check_counts(call, ctx, p, inputs, params));

    std::vector<RefCountPtr<Var>> vars(kWrittenLearned + p.params.size());  // keeps them alive
    for (int i = 0; i < kWrittenLearned; ++i) {
      TF_RETURN_IF_ERROR(LookupResource(ctx, HandleFromInput(ctx, kState + i), &vars[i]));
    }
    WrittenVars written(resource.options.callbacks >= 0);
    constexpr auto kType = tensorflow::DataTypeToEnum<T>::value;
    written.add(vars[kWrittenState].get(), "state", kType);
    written.add(vars[kWrittenIstate].get(), "istate", tensorflow::DT_INT32);
    written.add(vars[kWrittenSteps].get(), "steps_done", tensorflow::DT_INT64);
    std::vector<Tensor> constants(p.params.size());
    for (size_t i = 0; i < p.params.size(); ++i) {
      auto& var = vars[kWrittenLearned + i];
      TF_RETURN_IF_ERROR(LookupResource(ctx, params[i].scalar<tensorflow::ResourceHandle>()(), &var));
      if (p.params[i].learned) {
        written.add(var.get(), numbered("params", i, p.params[i].name), kType);
      } else {
        TF_RETURN_IF_ERROR(read(ctx, var.get(), numbered("params", i, p.params[i].name), &constants[i]));
      }
    }

    TF_RETURN_IF_ERROR(written.lock());
    TF_RETURN_IF_ERROR(call.set_state_shapes(written[kWrittenState], written[kWrittenIstate]));
    TF_RETURN_IF_ERROR(call.set_steps(written[kWrittenSteps], ctx->input(kNSteps), ctx->input(kTimeLimit)));
    for (int i = 0; i < inputs.size(); ++i) TF_RETURN_IF_ERROR(call.add_input(i, inputs[i]));
    size_t learned = kWrittenLearned;
    for (size_t i = 0; i < p.params.size(); ++i) {
      TF_RETURN_IF_ERROR(call.add_param(i, p.params[i].learned ? written[learned++] : constants[i]));
    }
    TF_RETURN_IF_ERROR(call.allocate_outputs());
    TF_RETURN_IF_ERROR(written.own(ctx));
    call.args.state = written.owned(kWrittenState).template flat<T>().data();
    call.args.istate = written.owned(kWrittenIstate).template flat<int32_t>().data();
    learned = kWrittenLearned;
    for (size_t i = 0; i < p.params.size(); ++i) {
      if (p.params[i].learned) call.args.params[i] = written.owned(learned++).template flat<T>().data();
    }
    return finish(&call, &written);
  }

  static Status finish(RunCall<T>* call, WrittenVars* written) {
    const Status status = call->run();
    // also if it was cancelled: the state is that of the steps which were done
    written->owned(kWrittenSteps).template scalar<int64_t>()() = call->args.first_step + call->result.steps;
    written->commit();
    TF_RETURN_IF_ERROR(status);
    const std::string error = call->result.error ? message_of(call->result.error) : "";
    return call->finish(static_cast<int>(call->args.outputs.size()), error);
  }

  static Status check_counts(const RunCall<T>& call, OpKernelContext* ctx, const Program& p, const OpInputList& inputs,
                             const OpInputList& params) {
    if (p.float64 != std::is_same_v<T, double>) {
      return call.invalid(absl::StrCat("the program computes in ", p.float64 ? "float64" : "float32",
                                       ", but 'dtype' is ", std::is_same_v<T, double> ? "float64" : "float32"));
    }
    for (int i = 0; i < inputs.size(); ++i) {
      if (inputs[i].dtype() == tensorflow::DataTypeToEnum<T>::value) continue;
      return call.invalid(absl::StrCat("'inputs[", i, "]' is of type ", tensorflow::DataTypeString(inputs[i].dtype()),
                                       ", the program computes in ", p.float64 ? "float64" : "float32"));
    }
    const std::pair<const char*, std::pair<size_t, size_t>> counts[] = {
        {"inputs", {inputs.size(), p.inputs.size()}},
        {"params", {params.size(), p.params.size()}},
        {"outputs", {ctx->num_outputs() - 2, p.outputs.size()}}};
    for (const auto& [name, count] : counts) {
      if (count.first == count.second) continue;
      return call.invalid(absl::StrCat(count.first, " ", name, ", the program has ", count.second));
    }
    return absl::OkStatus();
  }

  // The present value of a variable, which a later assignment leaves as it is.
  static Status read(OpKernelContext* ctx, Var* var, const std::string& name, Tensor* value) {
    tensorflow::tf_shared_lock lock(*var->mu());
    const Tensor& present = *var->tensor();
    if (!var->is_initialized || present.dtype() != tensorflow::DataTypeToEnum<T>::value) {
      return absl::InvalidArgumentError(
          absl::StrCat("NengoDL>RunInPlace: variable '", name, "' is due to hold ",
                       tensorflow::DataTypeString(tensorflow::DataTypeToEnum<T>::value), ", it holds ",
                       var->is_initialized ? tensorflow::DataTypeString(present.dtype()) : "nothing"));
    }
    if (!var->copy_on_read_mode.load()) {
      *value = present;
      return absl::OkStatus();
    }
    TF_RETURN_IF_ERROR(ctx->allocate_temp(present.dtype(), present.shape(), value));
    if (present.NumElements() > 0) std::memcpy(value->data(), present.tensor_data().data(), present.TotalBytes());
    return absl::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("NengoDL>RunInPlace").Device(tensorflow::DEVICE_CPU).TypeConstraint<float>("dtype"),
                        InPlaceKernel<float>);
REGISTER_KERNEL_BUILDER(Name("NengoDL>RunInPlace").Device(tensorflow::DEVICE_CPU).TypeConstraint<double>("dtype"),
                        InPlaceKernel<double>);

}  // namespace
}  // namespace nengo_dl
