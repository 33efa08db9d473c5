#include "tf/run_call.h"

#include "tensorflow/core/platform/tensor_float_32_utils.h"

namespace nengo_dl {

using absl::Status;
using tensorflow::Tensor;
using tensorflow::TensorShape;

std::string numbered(const char* list, int i, const std::string& name) {
  return std::string(list) + "[" + std::to_string(i) + "] (" + name + ")";
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

CancelFlag::CancelFlag(tensorflow::CancellationManager* manager) : manager_(manager) {
  if (manager_ == nullptr) return;
  token_ = manager_->get_cancellation_token();
  const bool listening = manager_->RegisterCallback(token_, [this] { flag_ = true; });
  if (!listening) {  // cancelled already
    flag_ = true;
    manager_ = nullptr;
  }
}

CancelFlag::~CancelFlag() {
  if (manager_ != nullptr) manager_->DeregisterCallback(token_);
}

int thread_bound(const tensorflow::OpKernelContext& ctx, int64_t asked) {
  if (asked > 0) return static_cast<int>(std::min<int64_t>(asked, std::numeric_limits<int>::max()));
  const auto* workers = ctx.device()->tensorflow_cpu_worker_threads();
  if (workers == nullptr) return 0;
  return workers->num_threads < static_cast<int>(std::thread::hardware_concurrency()) ? workers->num_threads : 0;
}

template <class T>
Status RunCall<T>::expect_shape(const std::string& name, const Tensor& tensor, const TensorShape& expected,
                                const char* meaning) const {
  if (tensor.shape() == expected) return absl::OkStatus();
  return invalid(absl::StrCat("input '", name, "': expected shape ", expected.DebugString(), " (", meaning, "), got ",
                              tensor.shape().DebugString()));
}

template <class T>
Status RunCall<T>::expect_param(const std::string& name, const Tensor& tensor, const Param& param) const {
  const bool has_items = tensor.dims() > 1 && tensor.dim_size(0) == args.batch;
  int64_t due;
  if (!__builtin_mul_overflow(param.learned ? args.batch : 1, param.size, &due) && tensor.NumElements() == due &&
      (!param.learned || has_items))
    return absl::OkStatus();
  const std::string expected = param.learned ? absl::StrCat(args.batch, " times ") : "";
  return invalid(absl::StrCat("input '", name, "': expected ", expected, param.size, " elements",
                              param.learned ? " (minibatch, size)" : "", ", got shape ", tensor.shape().DebugString()));
}

template <class T>
Status RunCall<T>::set_state_shapes(const Tensor& state, const Tensor& istate) {
  if (state.dims() != 2 || state.dim_size(0) < 1) {
    return invalid(absl::StrCat("input 'state': expected shape (minibatch, ", program_.state_size, "), got ",
                                state.shape().DebugString()));
  }
  args.batch = state.dim_size(0);
  TF_RETURN_IF_ERROR(expect_shape("state", state, {args.batch, program_.state_size}, "minibatch, state_size"));
  return expect_shape("istate", istate, {args.batch, program_.istate_size}, "minibatch, istate_size");
}

template <class T>
Status RunCall<T>::set_steps(const Tensor& first_step, const Tensor& n_steps) {
  TF_RETURN_IF_ERROR(scalar("first_step", first_step, &args.first_step));
  TF_RETURN_IF_ERROR(scalar("n_steps", n_steps, &args.n_steps));
  if (args.first_step < 0 || args.n_steps < 0 || args.first_step > std::numeric_limits<int64_t>::max() - args.n_steps) {
    return invalid(
        absl::StrCat("'first_step' and 'n_steps': expected 0 or more, got ", args.first_step, " and ", args.n_steps));
  }
  return absl::OkStatus();
}

template <class T>
Status RunCall<T>::set_time_limit(const Tensor& time_limit) {
  TF_RETURN_IF_ERROR(scalar("time_limit", time_limit, &args.time_limit));
  if (!(args.time_limit >= 0)) {
    return invalid(absl::StrCat("'time_limit': expected 0 or more seconds, got ", args.time_limit));
  }
  return absl::OkStatus();
}

template <class T>
Status RunCall<T>::add_input(int i, const Tensor& rows) {
  const Port& port = program_.inputs[i];
  TF_RETURN_IF_ERROR(expect_shape(numbered("inputs", i, port.name), rows, {args.batch, args.n_steps, port.size},
                                  "minibatch, n_steps, size"));
  args.inputs.push_back(rows.flat<T>().data());
  return absl::OkStatus();
}

template <class T>
Status RunCall<T>::add_param(int i, const Tensor& tensor) {
  const Param& param = program_.params[i];
  TF_RETURN_IF_ERROR(expect_param(numbered("params", i, param.name), tensor, param));
  // only learned parameters are written, and the ops replace those by memory of their own
  args.params.push_back(const_cast<T*>(tensor.flat<T>().data()));
  return absl::OkStatus();
}

template <class T>
Status RunCall<T>::add_inputs_and_params() {
  tensorflow::OpInputList inputs, params;
  TF_RETURN_IF_ERROR(ctx_->input_list("inputs", &inputs));
  TF_RETURN_IF_ERROR(ctx_->input_list("params", &params));
  for (int i = 0; i < inputs.size(); ++i) TF_RETURN_IF_ERROR(add_input(i, inputs[i]));
  for (int i = 0; i < params.size(); ++i) TF_RETURN_IF_ERROR(add_param(i, params[i]));
  return absl::OkStatus();
}

template <class T>
Status RunCall<T>::allocate_outputs() {
  for (size_t i = 0; i < program_.outputs.size(); ++i) {
    Tensor* tensor = nullptr;
    const int64_t rows = options_.keep_last[i] ? 1 : args.n_steps;
    TensorShape shape;
    TF_RETURN_IF_ERROR(TensorShape::BuildTensorShape({args.batch, rows, program_.outputs[i].size}, &shape));
    TF_RETURN_IF_ERROR(ctx_->allocate_output(static_cast<int>(i), shape, &tensor));
    args.outputs.push_back(tensor->flat<T>().data());
  }
  return absl::OkStatus();
}

template <class T>
Status RunCall<T>::find_table(std::shared_ptr<Callbacks>* table) const {
  if (options_.callbacks < 0) return absl::OkStatus();
  try {
    *table = find_callbacks(options_.callbacks);
  } catch (const std::exception& e) {
    return absl::FailedPreconditionError(
        message(absl::StrCat("the Python functions that this program calls are gone: ", e.what(),
                             ". They live as long as the simulator that built them, and are not saved with a model")));
  }
  return absl::OkStatus();
}

template <class T>
Status RunCall<T>::new_host_tape(const TapeOptions& record, std::shared_ptr<Tape>* made) const {
  struct Owned {
    Tensor memory;
    Tape tape;
  };
  auto owned = std::make_shared<Owned>();
  int64_t bytes = 0;
  TF_RETURN_IF_ERROR(safely([&] { bytes = compiled_.tape_bytes(args.batch, args.n_steps, record); }));
  TF_RETURN_IF_ERROR(ctx_->allocate_temp(tensorflow::DT_UINT8, {bytes}, &owned->memory));
  owned->tape.memory = owned->memory.data(), owned->tape.bytes = bytes;
  *made = {owned, &owned->tape};
  return absl::OkStatus();
}

template <class T>
Status RunCall<T>::new_tape(const TapeOptions& record, std::shared_ptr<Tape>* made) const {
  if (compiled_.on_host()) return new_host_tape(record, made);
  return safely([&] { *made = compiled_.new_tape(args.batch, args.n_steps, record); }, true);
}

// Calls the engine, with what it needs of TensorFlow in `args`.
template <class T>
Status RunCall<T>::guarded(const std::function<void()>& work) {
  std::shared_ptr<Callbacks> table;  // keeps the table alive while the engine runs
  TF_RETURN_IF_ERROR(find_table(&table));
  args.callbacks = table.get();
  args.keep_last.assign(options_.keep_last.begin(), options_.keep_last.end());
  args.threads = thread_bound(*ctx_, options_.threads);
  args.tf32 = tensorflow::tensor_float_32_execution_enabled();
  CancelFlag cancel(ctx_->cancellation_manager());
  args.cancel = cancel.flag();
  const Status done = safely(work, args.tape != nullptr);
  args.cancel = nullptr;
  return done;
}

template <class T>
Status RunCall<T>::safely(const std::function<void()>& work, bool recorded) const {
  try {
    work();
  } catch (const Cancelled&) {
    return absl::CancelledError(message("cancelled"));
  } catch (const ProgramError& e) {
    return invalid(e.what());
  } catch (const std::invalid_argument& e) {
    return invalid(e.what());
  } catch (const std::bad_alloc& e) {
    const char* const hint =
        recorded ? "; what is recorded for the gradient takes less with nengo_dl.configure_settings(tape_memory=...)"
                 : "";
    return absl::ResourceExhaustedError(message(absl::StrCat(e.what(), hint)));
  } catch (const std::exception& e) {
    return absl::InternalError(message(e.what()));
  } catch (...) {
    return absl::InternalError(message("the engine threw an exception that is no std::exception"));
  }
  return absl::OkStatus();
}

template <class T>
Status RunCall<T>::run() {
  TF_RETURN_IF_ERROR(guarded([this] { result = compiled_.run(args); }));
  if (!result.cancelled) return absl::OkStatus();
  return absl::CancelledError(message(absl::StrCat("cancelled after ", result.steps, " of ", args.n_steps, " steps")));
}

template <class T>
Status RunCall<T>::grad(GradArgs<T>* grad) {
  return guarded([this, grad] {
    grad->run = args;
    compiled_.grad(*grad);
  });
}

template <class T>
Status RunCall<T>::finish(int steps_at, const std::string& error) {
  TF_RETURN_IF_ERROR(safely([this] {
    for (size_t i = 0; i < program_.outputs.size(); ++i) clear_rows_after(i, program_.outputs[i].size);
  }));
  Tensor* tensor = nullptr;
  TF_RETURN_IF_ERROR(ctx_->allocate_output(steps_at, TensorShape({}), &tensor));
  tensor->scalar<int64_t>()() = result.steps;
  TF_RETURN_IF_ERROR(ctx_->allocate_output(steps_at + 1, {static_cast<int64_t>(error.size())}, &tensor));
  std::copy(error.begin(), error.end(), tensor->flat<uint8_t>().data());
  return absl::OkStatus();
}

// Rows that no step has written are zero, not what the memory held before.
template <class T>
void RunCall<T>::clear_rows_after(size_t output, int64_t size) const {
  const bool last = options_.keep_last[output];
  const int64_t rows = last ? 1 : args.n_steps;
  const int64_t written = last ? (result.steps > 0 ? 1 : 0) : result.steps;
  if (written >= rows || size == 0) return;
  for (int64_t b = 0; b < args.batch; ++b) {
    space().clear(args.outputs[output] + (b * rows + written) * size, (rows - written) * size);
  }
}

template class RunCall<float>;
template class RunCall<double>;

}  // namespace nengo_dl
