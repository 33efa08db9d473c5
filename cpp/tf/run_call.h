// One call of an op that runs a program: what NengoDL>Run and NengoDL>RunGrad have in common.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/engine.h"
#include "engine/space.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tf/visit.h"

namespace nengo_dl {

std::string numbered(const char* list, int i, const std::string& name);
std::string message_of(const std::exception_ptr& error);
// Most threads of a run for which so many were asked. Where TensorFlow may use every processor, the engine decides by
// the amount of work (0); where it may not (intra_op_parallelism_threads), its bound is kept.
int thread_bound(const tensorflow::OpKernelContext& ctx, int64_t asked);

// Sets a flag when TensorFlow cancels the run; stops listening when it goes out of scope.
class CancelFlag {
 public:
  explicit CancelFlag(tensorflow::CancellationManager* manager);
  ~CancelFlag();
  CancelFlag(const CancelFlag&) = delete;
  CancelFlag& operator=(const CancelFlag&) = delete;
  const std::atomic<bool>* flag() const { return &flag_; }

 private:
  tensorflow::CancellationManager* manager_;
  tensorflow::CancellationToken token_ = 0;
  std::atomic<bool> flag_{false};
};

// How a program is run, whatever its arguments.
struct RunOptions {
  std::vector<int64_t> keep_last;  // per output: 1 to keep only the last step
  int64_t callbacks = -1;          // handle of the table of Python functions
  int64_t threads = 0;             // 0: as many as TensorFlow uses inside one op
};

// Checks the arguments of a call, collects them for the engine, runs it, and writes what remains. Errors begin with
// the name of the op.
template <class T>
class RunCall {
 public:
  using Status = absl::Status;
  using Tensor = tensorflow::Tensor;
  using TensorShape = tensorflow::TensorShape;

  RunCall(tensorflow::OpKernelContext* ctx, const Compiled& compiled, const RunOptions& options)
      : ctx_(ctx), compiled_(compiled), program_(compiled.program()), options_(options) {
    args.there = on_gpu(*ctx);
  }

  RunArgs<T> args;
  RunResult result;

  Status begin() { return visit_.begin(ctx_, space()); }  // before all others
  // Where the tensors lie, but for `istate`, scalars and the error.
  Space& space() const { return args.there ? compiled_.space() : host_space(); }
  Status set_state_shapes(const Tensor& state, const Tensor& istate);  // sets the minibatch size
  Status set_steps(const Tensor& first_step, const Tensor& n_steps);
  Status set_time_limit(const Tensor& time_limit);
  Status add_input(int i, const Tensor& rows);
  Status add_param(int i, const Tensor& param);  // in the order of the program
  Status add_inputs_and_params();                // of the op's lists `inputs` and `params`
  Status allocate_outputs();                     // the first outputs of the op
  // In TensorFlow's memory, or the backend's if the host can't read that.
  Status new_tape(const TapeOptions& record, std::shared_ptr<Tape>* made) const;
  Status run();
  Status grad(GradArgs<T>* grad);  // sets its `run`
  // Rows that nothing wrote; output `steps`; output `error`, as bytes.
  Status finish(int steps_at, const std::string& error);

  std::string message(const std::string& text) const {
    return absl::StrCat(ctx_->op_kernel().type_string(), ": ", text);
  }
  // Does something of the engine's, whose exceptions TensorFlow would not catch. `recorded`: of a run for its gradient.
  Status safely(const std::function<void()>& work, bool recorded = false) const;
  Status invalid(const std::string& text) const { return absl::InvalidArgumentError(message(text)); }
  // As many elements as the parameter has, in any shape; items first if it is learned.
  Status expect_param(const std::string& name, const tensorflow::Tensor& tensor, const Param& param) const;
  Status expect_shape(const std::string& name, const Tensor& tensor, const TensorShape& expected,
                      const char* meaning) const;
  template <class V>
  Status scalar(const char* name, const Tensor& tensor, V* value) const {
    TF_RETURN_IF_ERROR(expect_shape(name, tensor, TensorShape({}), "a scalar"));
    *value = tensor.scalar<V>()();
    return absl::OkStatus();
  }

 private:
  Status guarded(const std::function<void()>& work);
  Status new_host_tape(const TapeOptions& record, std::shared_ptr<Tape>* made) const;
  Status find_table(std::shared_ptr<Callbacks>* table) const;
  void clear_rows_after(size_t output, int64_t size) const;

  tensorflow::OpKernelContext* ctx_;
  const Compiled& compiled_;
  const Program& program_;
  const RunOptions& options_;
  Visit visit_;
};

}  // namespace nengo_dl
