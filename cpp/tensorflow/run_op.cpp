// The signature of NengoDL>Run: what TensorFlow knows about the op without running it.
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace nengo_dl {
namespace {

using absl::Status;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// Places of the inputs; the type T is inferred from the first, which lists that may be empty can't give.
enum { kState, kIstate, kFirstStep, kNSteps, kTimeLimit, kInputs };

std::string numbered(const char* name, int i) { return std::string(name) + "[" + std::to_string(i) + "]"; }

// Merges one dimension of an input with what is known of it; the error names the input, what was due and what came.
Status merge_dim(InferenceContext* c, const std::string& name, ShapeHandle shape, int axis, const char* meaning,
                 DimensionHandle* due) {
  DimensionHandle merged;
  if (!c->Merge(c->Dim(shape, axis), *due, &merged).ok()) {
    return absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: input '", name, "' has shape ", c->DebugString(shape),
                                                   ", but axis ", axis, " (", meaning, ") is due to be ",
                                                   c->DebugString(*due)));
  }
  *due = merged;
  return absl::OkStatus();
}

Status with_rank(InferenceContext* c, const std::string& name, const char* due, ShapeHandle* shape, int rank) {
  if (!c->WithRank(*shape, rank, shape).ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("NengoDL>Run: input '", name, "' is due to have shape ", due, ", came ", c->DebugString(*shape)));
  }
  return absl::OkStatus();
}

// The steps of this run: known if the input `n_steps` is a constant.
Status steps_dim(InferenceContext* c, int index, DimensionHandle* steps) {
  *steps = c->UnknownDim();
  const tensorflow::Tensor* value = c->input_tensor(index);
  if (value == nullptr || value->NumElements() != 1) return absl::OkStatus();
  const int64_t n = value->flat<int64_t>()(0);
  if (n < 0) return absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: 'n_steps' is due to be 0 or more, came ", n));
  *steps = c->MakeDim(n);
  return absl::OkStatus();
}

Status run_shapes(InferenceContext* c) {
  int n_inputs, n_params;
  std::vector<int> keep_last, output_sizes, learned;
  TF_RETURN_IF_ERROR(c->GetAttr("n_inputs", &n_inputs));
  TF_RETURN_IF_ERROR(c->GetAttr("n_params", &n_params));
  TF_RETURN_IF_ERROR(c->GetAttr("keep_last", &keep_last));
  TF_RETURN_IF_ERROR(c->GetAttr("output_sizes", &output_sizes));
  TF_RETURN_IF_ERROR(c->GetAttr("learned", &learned));

  ShapeHandle state = c->input(kState), istate = c->input(kIstate);
  TF_RETURN_IF_ERROR(with_rank(c, "state", "(batch, state_size)", &state, 2));
  TF_RETURN_IF_ERROR(with_rank(c, "istate", "(batch, istate_size)", &istate, 2));
  DimensionHandle batch = c->Dim(state, 0);
  TF_RETURN_IF_ERROR(merge_dim(c, "istate", istate, 0, "minibatch", &batch));
  const char* scalars[] = {"first_step", "n_steps", "time_limit"};
  for (int i = 0; i < 3; ++i) {
    ShapeHandle scalar = c->input(kFirstStep + i);
    TF_RETURN_IF_ERROR(with_rank(c, scalars[i], "()", &scalar, 0));
  }

  DimensionHandle steps;
  TF_RETURN_IF_ERROR(steps_dim(c, kNSteps, &steps));
  for (int i = 0; i < n_inputs; ++i) {
    ShapeHandle shape = c->input(kInputs + i);
    TF_RETURN_IF_ERROR(with_rank(c, numbered("inputs", i), "(batch, n_steps, size)", &shape, 3));
    TF_RETURN_IF_ERROR(merge_dim(c, numbered("inputs", i), shape, 0, "minibatch", &batch));
    TF_RETURN_IF_ERROR(merge_dim(c, numbered("inputs", i), shape, 1, "steps", &steps));
  }

  int out = 0;
  if (keep_last.size() != output_sizes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: 'keep_last' has ", keep_last.size(),
                                                   " entries, 'output_sizes' has ", output_sizes.size(),
                                                   "; one per output is due"));
  }
  for (size_t i = 0; i < output_sizes.size(); ++i) {
    c->set_output(out++, c->MakeShape({batch, keep_last[i] ? c->MakeDim(1) : steps, c->MakeDim(output_sizes[i])}));
  }
  for (int p : learned) {
    if (p < 0 || p >= n_params) {
      return absl::InvalidArgumentError(absl::StrCat("NengoDL>Run: 'learned' names parameter ", p, " of ", n_params));
    }
    ShapeHandle shape = c->input(kInputs + n_inputs + p);
    TF_RETURN_IF_ERROR(with_rank(c, numbered("params", p), "(batch, size)", &shape, 2));
    TF_RETURN_IF_ERROR(merge_dim(c, numbered("params", p), shape, 0, "minibatch", &batch));
    c->set_output(out++, shape);
  }
  c->set_output(out++, c->MakeShape({batch, c->Dim(state, 1)}));
  c->set_output(out++, c->MakeShape({batch, c->Dim(istate, 1)}));
  c->set_output(out++, c->Scalar());
  c->set_output(out++, c->Scalar());
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("NengoDL>Run")
    .Input("state: T")
    .Input("istate: int32")
    .Input("first_step: int64")
    .Input("n_steps: int64")
    .Input("time_limit: float64")
    .Input("inputs: n_inputs * T")
    .Input("params: n_params * T")
    .Output("outputs: n_outputs * T")
    .Output("learned_out: n_learned * T")
    .Output("state_out: T")
    .Output("istate_out: int32")
    .Output("steps: int64")
    .Output("error: string")
    .Attr("T: {float, double}")
    .Attr("n_inputs: int >= 0")
    .Attr("n_params: int >= 0")
    .Attr("n_outputs: int >= 0")
    .Attr("n_learned: int >= 0")
    .Attr("program: string")
    .Attr("output_sizes: list(int) >= 0")
    .Attr("keep_last: list(int) >= 0")
    .Attr("learned: list(int) >= 0")
    .Attr("callbacks: int = -1")
    .Attr("partial: bool = false")
    .Attr("threads: int = 0")
    .SetIsStateful()  // callbacks have effects of their own: never fold, merge or drop a run
    .SetShapeFn(run_shapes)
    .Doc(R"doc(
Runs a program (docs/PROGRAM.md) for `n_steps` steps of a whole minibatch.

state: Packed state before the run, shape (batch, state_size).
istate: Packed state of the random generators before the run, shape (batch, istate_size).
first_step: Steps done before this run; the time of the first step is (first_step + 1) * dt.
n_steps: Steps to do.
time_limit: Stop at the next window border after this many seconds; 0 for no limit.
inputs: Rows of each model input, shape (batch, n_steps, size).
params: Parameters of the program: shape (size,), or (batch, size) for those that learning rules change.
outputs: Rows of each model output, shape (batch, n_steps, size), or (batch, 1, size) if only the last step is kept.
  If fewer than `n_steps` steps were done, the rows after them are zero.
learned_out: The learned parameters after the run, in the order of `learned`.
state_out: State after the run.
istate_out: State of the random generators after the run.
steps: Steps that were done.
error: What the callback that stopped the run said; empty if none did.
program: The serialised program.
output_sizes: Size of each output, as in the program.
keep_last: For each output: 1 to keep only the last step, otherwise 0.
learned: Which parameters are learned, as in the program.
callbacks: Handle of the table of Python functions; -1 if the program has no callbacks.
partial: If a callback fails: return what was done before (true), or fail (false).
threads: Most threads to use; 0 for as many as TensorFlow uses inside one op.
)doc");

}  // namespace nengo_dl
