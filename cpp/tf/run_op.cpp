// The signature of NengoDL>Run: what TensorFlow knows about the op without running it.
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tf/run_shapes.h"

namespace nengo_dl {
namespace {

using tensorflow::shape_inference::InferenceContext;

absl::Status run_shapes(InferenceContext* c) {
  RunShapes run(c, "Run");
  TF_RETURN_IF_ERROR(run.read("time_limit"));
  int out = 0;
  for (size_t i = 0; i < run.output_sizes.size(); ++i) c->set_output(out++, run.output(i));
  for (int p : run.learned) c->set_output(out++, run.param(p));
  c->set_output(out++, c->MakeShape({run.batch, c->Dim(run.state, 1)}));
  c->set_output(out++, c->MakeShape({run.batch, c->Dim(run.istate, 1)}));
  for (int i = 0; i < 3; ++i) c->set_output(out++, c->Scalar());  // steps, error, tape
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
    .Output("tape: string")
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
    .Attr("backend: string = 'cpu'")
    .Attr("partial: bool = false")
    .Attr("threads: int = 0")
    .Attr("record: bool = false")
    .Attr("memory: int = -1")
    .Attr("wanted: list(int) >= 0 = []")
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
params: Parameters of the program: any shape of size elements, or (batch, ...) for those that learning rules change.
outputs: Rows of each model output, shape (batch, n_steps, size), or (batch, 1, size) if only the last step is kept.
  If fewer than `n_steps` steps were done, the rows after them are zero.
learned_out: The learned parameters after the run, in the order of `learned`.
state_out: State after the run.
istate_out: State of the random generators after the run.
steps: Steps that were done.
error: What the callback that stopped the run said; empty if none did.
tape: What NengoDL>RunGrad needs of the run, for this process only; empty if it was not recorded.
program: The serialised program.
output_sizes: Size of each output, as in the program.
keep_last: For each output: 1 to keep only the last step, otherwise 0.
learned: Which parameters are learned, as in the program.
callbacks: Handle of the table of Python functions; -1 if the program has no callbacks.
backend: What runs the program: "cpu", or another that the engine has ("cuda"). On TensorFlow's GPU the op works on
  tensors there, but for istate, scalars and strings; elsewhere it takes those of the host, whatever the backend.
partial: If a callback fails: return what was done before (true), or fail (false).
threads: Most threads to use; 0 for as many as TensorFlow uses inside one op.
record: Whether the run records a tape.
memory: Most bytes of values on the tape; what has no room is computed again for the gradient. -1 for no limit.
wanted: Parameters whose gradient can be had from the tape.
)doc");

}  // namespace nengo_dl
