// The signatures of NengoDL>Run and NengoDL>RunOnGpu: what TensorFlow knows about the ops without running them.
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tf/run_shapes.h"

namespace nengo_dl {
namespace {

using tensorflow::shape_inference::InferenceContext;

absl::Status run_shapes(InferenceContext* c, const char* op) {
  RunShapes run(c, op);
  TF_RETURN_IF_ERROR(run.read("time_limit"));
  int out = 0;
  for (size_t i = 0; i < run.output_sizes.size(); ++i) c->set_output(out++, run.output(i));
  for (int p : run.learned) c->set_output(out++, run.param(p));
  c->set_output(out++, c->MakeShape({run.batch, c->Dim(run.state, 1)}));
  c->set_output(out++, c->MakeShape({run.batch, c->Dim(run.istate, 1)}));
  c->set_output(out++, c->Scalar());                               // steps
  c->set_output(out++, c->Vector(InferenceContext::kUnknownDim));  // error
  c->set_output(out++, c->Scalar());                               // tape
  return absl::OkStatus();
}

constexpr const char* kDoc = R"doc(
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
error: What the callback that stopped the run said, as bytes of UTF-8; none if none did. Unlike a string it has zeros.
tape: What NengoDL>RunGrad needs of the run, for this process only, which copies share; it holds nothing if nothing was
  recorded, as its zeros do.
program: The serialised program.
output_sizes: Size of each output, as in the program.
keep_last: For each output: 1 to keep only the last step, otherwise 0.
learned: Which parameters are learned, as in the program.
callbacks: Handle of the table of Python functions; -1 if the program has no callbacks.
backend: What runs the program: "cpu", or another that the engine has ("cuda"). NengoDL>RunOnGpu works on
  tensors of TensorFlow's GPU, but for istate, scalars and error; NengoDL>Run on those of the host.
partial: If a callback fails: return what was done before (true), or fail (false).
threads: Most threads to use; 0 for as many as TensorFlow uses inside one op.
record: Whether the run records a tape.
memory: Most bytes of values on the tape; what has no room is computed again for the gradient. -1 for no limit.
wanted: Parameters whose gradient can be had from the tape.
)doc";

// Stateful, as callbacks have effects of their own: no run is folded, merged or dropped. What runs on a GPU is an op by
// itself, so that TensorFlow never puts there what needs the host's memory.
#define REGISTER_RUN(op)                                                 \
  REGISTER_OP("NengoDL>" op)                                             \
      .Input("state: T")                                                 \
      .Input("istate: int32")                                            \
      .Input("first_step: int64")                                        \
      .Input("n_steps: int64")                                           \
      .Input("time_limit: float64")                                      \
      .Input("inputs: n_inputs * T")                                     \
      .Input("params: n_params * T")                                     \
      .Output("outputs: n_outputs * T")                                  \
      .Output("learned_out: n_learned * T")                              \
      .Output("state_out: T")                                            \
      .Output("istate_out: int32")                                       \
      .Output("steps: int64")                                            \
      .Output("error: uint8")                                            \
      .Output("tape: variant")                                           \
      .Attr("T: {float, double}")                                        \
      .Attr("n_inputs: int >= 0")                                        \
      .Attr("n_params: int >= 0")                                        \
      .Attr("n_outputs: int >= 0")                                       \
      .Attr("n_learned: int >= 0")                                       \
      .Attr("program: string")                                           \
      .Attr("output_sizes: list(int) >= 0")                              \
      .Attr("keep_last: list(int) >= 0")                                 \
      .Attr("learned: list(int) >= 0")                                   \
      .Attr("callbacks: int = -1")                                       \
      .Attr("backend: string = 'cpu'")                                   \
      .Attr("partial: bool = false")                                     \
      .Attr("threads: int = 0")                                          \
      .Attr("record: bool = false")                                      \
      .Attr("memory: int = -1")                                          \
      .Attr("wanted: list(int) >= 0 = []")                               \
      .SetIsStateful()                                                   \
      .SetShapeFn([](InferenceContext* c) { return run_shapes(c, op); }) \
      .Doc(kDoc)

REGISTER_RUN("Run");
REGISTER_RUN("RunOnGpu");

}  // namespace
}  // namespace nengo_dl
