// NengoDL>Bind and NengoDL>RunInPlace on the CPU.
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tf/compiled_cache.h"
#include "tf/run_call.h"

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

// A program, how to run it, and the variables that it runs on.
struct BoundProgram : tensorflow::ResourceBase {
  std::shared_ptr<const Compiled> compiled;
  RunOptions options;
  RefCountPtr<Var> state, istate, steps_done;
  std::vector<RefCountPtr<Var>> params;

  std::string DebugString() const override { return "a NengoDL program and its variables"; }
};

class BindKernel : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    for (int i : {0, 2, 3}) {
      OP_REQUIRES(ctx, ctx->input(i).NumElements() == 1,
                  absl::InvalidArgumentError(absl::StrCat("NengoDL>Bind: input ", i, ": expected a scalar, got ",
                                                          ctx->input(i).shape().DebugString())));
    }
    RefCountPtr<BoundProgram> bound(new BoundProgram);
    const std::string bytes = ctx->input(0).flat<tensorflow::tstring>()(0);
    OP_REQUIRES_OK(ctx, compile("NengoDL>Bind", bytes, &bound->compiled));
    OP_REQUIRES_OK(ctx, read_options(ctx, bound.get()));
    OP_REQUIRES_OK(ctx, LookupResource(ctx, HandleFromInput(ctx, 4), &bound->state));
    OP_REQUIRES_OK(ctx, LookupResource(ctx, HandleFromInput(ctx, 5), &bound->istate));
    OP_REQUIRES_OK(ctx, LookupResource(ctx, HandleFromInput(ctx, 6), &bound->steps_done));
    OpInputList params;
    OP_REQUIRES_OK(ctx, ctx->input_list("params", &params));
    const size_t expected = bound->compiled->program().params.size();
    OP_REQUIRES(ctx, static_cast<size_t>(params.size()) == expected,
                absl::InvalidArgumentError(absl::StrCat("NengoDL>Bind: params: expected ", expected,
                                                        ", as the program has, got ", params.size())));
    bound->params.resize(expected);
    for (size_t i = 0; i < expected; ++i) {
      OP_REQUIRES_OK(ctx, LookupResource(ctx, HandleFromInput(ctx, 7 + i), &bound->params[i]));
    }
    Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({}), &out));
    // the handle holds the resource: it goes when the last copy of this tensor goes
    out->scalar<tensorflow::ResourceHandle>()() =
        tensorflow::ResourceHandle::MakeRefCountingHandle(bound.release(), ctx->device()->name());
  }

 private:
  static Status read_options(OpKernelContext* ctx, BoundProgram* bound) {
    RunOptions& options = bound->options;
    const auto keep_last = ctx->input(1).flat<int64_t>();
    options.keep_last.assign(keep_last.data(), keep_last.data() + keep_last.size());
    options.callbacks = ctx->input(2).flat<int64_t>()(0);
    options.threads = ctx->input(3).flat<int64_t>()(0);
    const size_t outputs = bound->compiled->program().outputs.size();
    if (options.keep_last.size() != outputs) {
      return absl::InvalidArgumentError(absl::StrCat("NengoDL>Bind: 'keep_last': expected ", outputs,
                                                     " entries, one per output, got ", options.keep_last.size()));
    }
    if (options.threads < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("NengoDL>Bind: 'threads': expected 0 or more, got ", options.threads));
    }
    return absl::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("NengoDL>Bind").Device(tensorflow::DEVICE_CPU), BindKernel);

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
    for (const Written& w : vars_) locked_.push_back(w.var);
    std::sort(locked_.begin(), locked_.end(), [](Var* a, Var* b) { return a->mu() < b->mu(); });
    if (std::adjacent_find(locked_.begin(), locked_.end()) != locked_.end()) {
      locked_.clear();
      return absl::InvalidArgumentError(
          "NengoDL>RunInPlace: state, istate, steps_done and the learned parameters: expected different variables,"
          " got two that are the same");
    }
    for (Var* var : locked_) var->mu()->lock();
    for (const Written& w : vars_) {
      if (w.var->is_initialized && w.var->tensor()->dtype() == w.dtype) continue;
      return absl::InvalidArgumentError(absl::StrCat("NengoDL>RunInPlace: variable '", w.name, "': expected to hold ",
                                                     tensorflow::DataTypeString(w.dtype),
                                                     w.var->is_initialized ? ", got " : ", got nothing, of type ",
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
    for (Var* var : locked_) var->mu()->unlock();
    locked_.clear();
  }

  std::vector<Written> vars_;
  std::vector<Var*> locked_;
  bool on_copies_;
};

template <class T>
class InPlaceKernel : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<BoundProgram> bound;
    OP_REQUIRES_OK(ctx, LookupResource(ctx, HandleFromInput(ctx, kBound), &bound));
    OP_REQUIRES_OK(ctx, run(ctx, *bound));
  }

 private:
  // Places of the op's inputs.
  enum { kBound, kNSteps, kTimeLimit };
  // Places among the written variables; learned parameters follow.
  enum { kWrittenState, kWrittenIstate, kWrittenSteps, kWrittenLearned };

  static Status run(OpKernelContext* ctx, const BoundProgram& bound) {
    const Program& p = bound.compiled->program();
    OpInputList inputs;
    TF_RETURN_IF_ERROR(ctx->input_list("inputs", &inputs));
    RunCall<T> call(ctx, *bound.compiled, bound.options);
    TF_RETURN_IF_ERROR(check_counts(call, ctx, p, inputs));

    WrittenVars written(bound.options.callbacks >= 0);
    constexpr auto kType = tensorflow::DataTypeToEnum<T>::value;
    written.add(bound.state.get(), "state", kType);
    written.add(bound.istate.get(), "istate", tensorflow::DT_INT32);
    written.add(bound.steps_done.get(), "steps_done", tensorflow::DT_INT64);
    std::vector<Tensor> constants(p.params.size());
    for (size_t i = 0; i < p.params.size(); ++i) {
      const std::string& name = p.params[i].name;
      if (p.params[i].learned) {
        written.add(bound.params[i].get(), name, kType);
      } else {
        TF_RETURN_IF_ERROR(read(ctx, bound.params[i].get(), name, &constants[i]));
      }
    }

    TF_RETURN_IF_ERROR(written.lock());
    TF_RETURN_IF_ERROR(call.set_state_shapes(written[kWrittenState], written[kWrittenIstate]));
    TF_RETURN_IF_ERROR(call.set_steps(written[kWrittenSteps], ctx->input(kNSteps)));
    TF_RETURN_IF_ERROR(call.set_time_limit(ctx->input(kTimeLimit)));
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
    return call->finish(static_cast<int>(call->args.outputs.size()), true, error);
  }

  static Status check_counts(const RunCall<T>& call, OpKernelContext* ctx, const Program& p,
                             const OpInputList& inputs) {
    if (p.float64 != std::is_same_v<T, double>) {
      return call.invalid(absl::StrCat("'dtype': expected ", p.float64 ? "float64" : "float32",
                                       ", as the program has, got ",
                                       std::is_same_v<T, double> ? "float64" : "float32"));
    }
    for (int i = 0; i < inputs.size(); ++i) {
      if (inputs[i].dtype() == tensorflow::DataTypeToEnum<T>::value) continue;
      return call.invalid(absl::StrCat("'inputs[", i, "]': expected ", p.float64 ? "float64" : "float32",
                                       ", as the program has, got ", tensorflow::DataTypeString(inputs[i].dtype())));
    }
    const std::pair<const char*, std::pair<size_t, size_t>> counts[] = {
        {"inputs", {inputs.size(), p.inputs.size()}}, {"outputs", {ctx->num_outputs() - 2, p.outputs.size()}}};
    for (const auto& [name, count] : counts) {
      if (count.first == count.second) continue;
      return call.invalid(
          absl::StrCat("expected ", count.second, " ", name, ", as the program has, got ", count.first));
    }
    return absl::OkStatus();
  }

  // The present value of a variable, which a later assignment leaves as it is.
  static Status read(OpKernelContext* ctx, Var* var, const std::string& name, Tensor* value) {
    tensorflow::tf_shared_lock lock(*var->mu());
    const Tensor& present = *var->tensor();
    if (!var->is_initialized || present.dtype() != tensorflow::DataTypeToEnum<T>::value) {
      return absl::InvalidArgumentError(
          absl::StrCat("NengoDL>RunInPlace: variable '", name, "': expected to hold ",
                       tensorflow::DataTypeString(tensorflow::DataTypeToEnum<T>::value), ", got ",
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
