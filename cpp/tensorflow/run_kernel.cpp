// NengoDL>Run on the CPU: checks shapes, hands memory to the engine, turns exceptions into Status.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compiled_cache.h"
#include "engine/engine.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace nengo_dl {
namespace {

using absl::Status;
using tensorflow::CancellationManager;
using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

// Places of the op's inputs; the parameters follow the model's inputs.
enum { kState, kIstate, kFirstStep, kNSteps, kTimeLimit, kInputs };

std::string numbered(const char* list, int i, const std::string& name) {
  return std::string(list) + "[" + std::to_string(i) + "] (" + name + ")";
}

Status expect_shape(const std::string& name, const Tensor& tensor, const TensorShape& due, const char* meaning) {
  if (tensor.shape() == due) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: input '", name, "' is due to have shape ",
                                                 due.DebugString(), " (", meaning, "), came ",
                                                 tensor.shape().DebugString()));
}

template <class V>
Status scalar(const char* name, const Tensor& tensor, V* value) {
  TF_RETURN_IF_ERROR(expect_shape(name, tensor, TensorShape({}), "a scalar"));
  *value = tensor.scalar<V>()();
  return absl::OkStatus();
}

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

// Sets a flag when TensorFlow cancels the run; stops listening when it goes out of scope.
class CancelFlag {
 public:
  explicit CancelFlag(CancellationManager* manager) : manager_(manager) {
    if (manager_ == nullptr) return;
    token_ = manager_->get_cancellation_token();
    const bool listening = manager_->RegisterCallback(token_, [this] { flag_ = true; });
    if (!listening) {  // cancelled already
      flag_ = true;
      manager_ = nullptr;
    }
  }
  ~CancelFlag() {
    if (manager_ != nullptr) manager_->DeregisterCallback(token_);
  }
  CancelFlag(const CancelFlag&) = delete;
  CancelFlag& operator=(const CancelFlag&) = delete;
  const std::atomic<bool>* flag() const { return &flag_; }

 private:
  CancellationManager* manager_;
  tensorflow::CancellationToken token_ = 0;
  std::atomic<bool> flag_{false};
};

template <class T>
class RunKernel : public OpKernel {
 public:
  explicit RunKernel(OpKernelConstruction* ctx) : OpKernel(ctx) {
    std::string bytes;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("program", &bytes));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("keep_last", &keep_last_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("callbacks", &callbacks_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("partial", &partial_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("threads", &threads_));
    OP_REQUIRES(
        ctx, threads_ >= 0,
        absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: 'threads' is due to be 0 or more, came ", threads_)));
    try {
      compiled_ = compile_cached(bytes);
    } catch (const ProgramError& e) {
      ctx->CtxFailure(absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: ", e.what())));
      return;
    } catch (const std::exception& e) {
      ctx->CtxFailure(absl::InternalError(absl::StrCat("NengoDL>Run: the program can't be compiled: ", e.what())));
      return;
    }
    OP_REQUIRES_OK(ctx, check_attrs(ctx));
  }

  void Compute(OpKernelContext* ctx) override {
    RunArgs<T> args;
    OP_REQUIRES_OK(ctx, read_state(ctx, &args));
    OP_REQUIRES_OK(ctx, read_inputs(ctx, &args));
    OP_REQUIRES_OK(ctx, allocate(ctx, &args));
    std::shared_ptr<Callbacks> table;  // keeps the table alive while the engine runs
    OP_REQUIRES_OK(ctx, find_table(&table));
    args.callbacks = table.get();
    args.keep_last.assign(keep_last_.begin(), keep_last_.end());
    args.threads = thread_bound(ctx);

    CancelFlag cancel(ctx->cancellation_manager());
    args.cancel = cancel.flag();
    RunResult result;
    try {
      result = compiled_->run(args);
    } catch (const std::exception& e) {
      ctx->CtxFailure(absl::InternalError(absl::StrCat("NengoDL>Run: ", e.what())));
      return;
    } catch (...) {
      ctx->CtxFailure(
          absl::InternalError(absl::StrCat("NengoDL>Run: the engine threw an exception that is no std::exception")));
      return;
    }
    finish(ctx, args, result);
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
    if (keep_last_.size() == p.outputs.size()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: 'keep_last' has ", keep_last_.size(),
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

  // Where TensorFlow may use every processor, the engine decides by the amount of work (0); where it may not
  // (intra_op_parallelism_threads), its bound is kept.
  int thread_bound(OpKernelContext* ctx) const {
    if (threads_ > 0) return static_cast<int>(std::min<int64_t>(threads_, std::numeric_limits<int>::max()));
    const auto* workers = ctx->device()->tensorflow_cpu_worker_threads();
    if (workers == nullptr) return 0;
    return workers->num_threads < static_cast<int>(std::thread::hardware_concurrency()) ? workers->num_threads : 0;
  }

  Status read_state(OpKernelContext* ctx, RunArgs<T>* args) const {
    const Program& p = program();
    const Tensor& state = ctx->input(kState);
    const Tensor& istate = ctx->input(kIstate);
    if (state.dims() != 2 || state.dim_size(0) < 1) {
      return absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: input 'state' is due to have shape (minibatch, ",
                                                     p.state_size, "), came ", state.shape().DebugString()));
    }
    args->batch = state.dim_size(0);
    TF_RETURN_IF_ERROR(expect_shape("state", state, {args->batch, p.state_size}, "minibatch, state_size"));
    TF_RETURN_IF_ERROR(expect_shape("istate", istate, {args->batch, p.istate_size}, "minibatch, istate_size"));
    TF_RETURN_IF_ERROR(scalar("first_step", ctx->input(kFirstStep), &args->first_step));
    TF_RETURN_IF_ERROR(scalar("n_steps", ctx->input(kNSteps), &args->n_steps));
    TF_RETURN_IF_ERROR(scalar("time_limit", ctx->input(kTimeLimit), &args->time_limit));
    if (args->first_step < 0 || args->n_steps < 0 ||
        args->first_step > std::numeric_limits<int64_t>::max() - args->n_steps) {
      return absl::InvalidArgumentError(
          absl::StrCat("NengoDL>Run: 'first_step' and 'n_steps' are due to be 0 or more, came ", args->first_step,
                       " and ", args->n_steps));
    }
    if (!(args->time_limit >= 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("NengoDL>Run: 'time_limit' is due to be 0 or more seconds, came ", args->time_limit));
    }
    return absl::OkStatus();
  }

  Status read_inputs(OpKernelContext* ctx, RunArgs<T>* args) const {
    const Program& p = program();
    OpInputList inputs, params;
    TF_RETURN_IF_ERROR(ctx->input_list("inputs", &inputs));
    TF_RETURN_IF_ERROR(ctx->input_list("params", &params));
    for (int i = 0; i < inputs.size(); ++i) {
      TF_RETURN_IF_ERROR(expect_shape(numbered("inputs", i, p.inputs[i].name), inputs[i],
                                      {args->batch, args->n_steps, p.inputs[i].size}, "minibatch, n_steps, size"));
      args->inputs.push_back(inputs[i].flat<T>().data());
    }
    for (int i = 0; i < params.size(); ++i) {
      const Param& param = p.params[i];
      TF_RETURN_IF_ERROR(
          expect_shape(numbered("params", i, param.name), params[i],
                       param.learned ? TensorShape({args->batch, param.size}) : TensorShape({param.size}),
                       param.learned ? "minibatch, size" : "size"));
      // only learned parameters are written, and those are replaced by the output's memory in allocate()
      args->params.push_back(const_cast<T*>(params[i].flat<T>().data()));
    }
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

  Status allocate(OpKernelContext* ctx, RunArgs<T>* args) const {
    const Program& p = program();
    int out = 0;
    for (size_t i = 0; i < p.outputs.size(); ++i) {
      Tensor* tensor = nullptr;
      const int64_t rows = keep_last_[i] ? 1 : args->n_steps;
      TensorShape shape;
      TF_RETURN_IF_ERROR(TensorShape::BuildTensorShape({args->batch, rows, p.outputs[i].size}, &shape));
      TF_RETURN_IF_ERROR(ctx->allocate_output(out++, shape, &tensor));
      args->outputs.push_back(tensor->flat<T>().data());
    }
    for (int64_t i : learned_) {
      const int from = static_cast<int>(kInputs + p.inputs.size() + i);
      TF_RETURN_IF_ERROR(forward(ctx, from, out++, &args->params[i]));
    }
    TF_RETURN_IF_ERROR(forward(ctx, kState, out++, &args->state));
    return forward(ctx, kIstate, out++, &args->istate);
  }

  Status find_table(std::shared_ptr<Callbacks>* table) const {
    if (callbacks_ < 0) return absl::OkStatus();
    try {
      *table = find_callbacks(callbacks_);
    } catch (const std::exception& e) {
      return absl::FailedPreconditionError(
          absl::StrCat("NengoDL>Run: the Python functions that this program calls are gone: ", e.what(),
                       ". They live as long as the simulator that built them, and are not saved with a model"));
    }
    return absl::OkStatus();
  }

  void finish(OpKernelContext* ctx, const RunArgs<T>& args, const RunResult& result) const {
    const std::string error = result.error ? message_of(result.error) : "";
    if (result.error && !partial_) {
      ctx->CtxFailure(absl::UnknownError(absl::StrCat(error)));
      return;
    }
    if (!result.error && args.cancel->load()) {
      ctx->CtxFailure(absl::CancelledError(
          absl::StrCat("NengoDL>Run: cancelled after ", result.steps, " of ", args.n_steps, " steps")));
      return;
    }
    const Program& p = program();
    for (size_t i = 0; i < p.outputs.size(); ++i) clear_rows_after(args, i, p.outputs[i].size, result.steps);
    Tensor* tensor = nullptr;
    const int steps_at = static_cast<int>(p.outputs.size() + learned_.size()) + 2;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(steps_at, TensorShape({}), &tensor));
    tensor->scalar<int64_t>()() = result.steps;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(steps_at + 1, TensorShape({}), &tensor));
    tensor->scalar<tensorflow::tstring>()() = error;
  }

  // Rows that no step has written are zero, not what the memory held before.
  void clear_rows_after(const RunArgs<T>& args, size_t output, int64_t size, int64_t steps) const {
    const int64_t rows = keep_last_[output] ? 1 : args.n_steps;
    const int64_t written = keep_last_[output] ? (steps > 0 ? 1 : 0) : steps;
    if (written >= rows || size == 0) return;
    for (int64_t b = 0; b < args.batch; ++b) {
      T* row = args.outputs[output] + (b * rows + written) * size;
      std::fill(row, row + (rows - written) * size, T(0));
    }
  }

  std::shared_ptr<const Compiled> compiled_;
  std::vector<int64_t> keep_last_;
  std::vector<int64_t> learned_;
  int64_t callbacks_ = -1;
  bool partial_ = false;
  int64_t threads_ = 0;
};

REGISTER_KERNEL_BUILDER(Name("NengoDL>Run").Device(tensorflow::DEVICE_CPU).TypeConstraint<float>("T"),
                        RunKernel<float>);
REGISTER_KERNEL_BUILDER(Name("NengoDL>Run").Device(tensorflow::DEVICE_CPU).TypeConstraint<double>("T"),
                        RunKernel<double>);

}  // namespace
}  // namespace nengo_dl
