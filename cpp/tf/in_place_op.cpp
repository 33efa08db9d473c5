// The signatures of NengoDL>Bind and NengoDL>RunInPlace: the short way of a Simulator's runs, eagerly.
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace nengo_dl {
namespace {

using tensorflow::shape_inference::InferenceContext;

absl::Status in_place_shapes(InferenceContext* c) {
  const int outputs = c->num_outputs() - 2;
  for (int i = 0; i < outputs; ++i) c->set_output(i, c->UnknownShapeOfRank(3));
  c->set_output(outputs, c->Vector(2));
  c->set_output(outputs + 1, c->Scalar());
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("NengoDL>Bind")
    .Input("program: string")
    .Input("keep_last: int64")
    .Input("callbacks: int64")
    .Input("threads: int64")
    .Input("state: resource")
    .Input("istate: resource")
    .Input("steps_done: resource")
    .Input("params: n_params * resource")
    .Output("bound: resource")
    .Attr("n_params: int >= 0")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
Compiles a program for the variables that it is to run on. What is compiled lives as long as the handle, unlike the
kernels of ops with attributes, which TensorFlow keeps for ever once they were run eagerly.

program: The serialised program (docs/PROGRAM.md).
keep_last: For each output: 1 to keep only the last step, otherwise 0.
callbacks: Handle of the table of Python functions; -1 if the program has no callbacks.
threads: Most threads to use; 0 for as many as TensorFlow uses inside one op.
state: Variable of the packed state, shape (batch, state_size).
istate: Variable of the packed state of the random generators, shape (batch, istate_size).
steps_done: Variable of the number of steps done, a scalar int64.
params: Variables of the parameters: any shape of size elements, or (batch, ...) for those that learning rules change.
bound: Handle of the program with its variables.
)doc");

REGISTER_OP("NengoDL>RunInPlace")
    .Input("bound: resource")
    .Input("n_steps: int64")
    .Input("time_limit: float64")
    .Input("inputs: input_types")
    .Output("outputs: n_outputs * dtype")
    .Output("steps: int64")
    .Output("error: string")
    .Attr("dtype: {float, double}")
    .Attr("input_types: list({float, double}) >= 0")
    .Attr("n_outputs: int >= 0")
    .SetIsStateful()
    .SetShapeFn(in_place_shapes)
    .Doc(R"doc(
Runs a program on its variables, as NengoDL>Run does on tensors: state and learned parameters are changed in them,
and the number of steps is added. Their memory is changed in place where nobody else looks at it.

bound: Handle that NengoDL>Bind made.
n_steps: Steps to do.
time_limit: Stop at the next window border after this many seconds; 0 for no limit.
inputs: Rows of each model input, shape (batch, n_steps, size), all of type `dtype`.
outputs: Rows of each model output, shape (batch, n_steps, size), or (batch, 1, size) if only the last step is kept.
  If fewer than `n_steps` steps were done, the rows after them are zero.
steps: Steps that were done before the run, and in it.
error: What the callback that stopped the run said; empty if none did. What was done before it is kept.
dtype: Precision of the program.
)doc");

}  // namespace nengo_dl
