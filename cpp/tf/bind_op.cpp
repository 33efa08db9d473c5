// The signature of NengoDL>Bind: the short way of a Simulator's runs, without an op for each of them.
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

REGISTER_OP("NengoDL>Bind")
    .Input("program: string")
    .Input("keep_last: int64")
    .Input("callbacks: int64")
    .Input("threads: int64")
    .Input("backend: string")
    .Input("state: resource")
    .Input("istate: resource")
    .Input("steps_done: resource")
    .Input("params: n_params * resource")
    .Output("bound: int64")
    .Attr("n_params: int >= 0")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
Compiles a program for the variables that it is to run on. Runs do as NengoDL>Run does on tensors, but state and learned
parameters are changed in the variables, and the number of steps is added. Their memory is changed in place where nobody
else looks at it.

program: The serialised program (docs/PROGRAM.md).
keep_last: For each output: 1 to keep only the last step, otherwise 0.
callbacks: Handle of the table of Python functions; -1 if the program has no callbacks.
threads: Most threads to use; 0 for as many as TensorFlow uses inside one op.
backend: What runs the program, as in NengoDL>Run.
state: Variable of the packed state, shape (batch, state_size).
istate: Variable of the packed state of the random generators, shape (batch, istate_size).
steps_done: Variable of the number of steps done, a scalar int64.
params: Variables of the parameters: any shape of size elements, or (batch, ...) for those that learning rules change.
bound: Number of the bound program (cpp/engine/bound.h), which whoever takes it over owns: nengo_dl._engine.Bound.
)doc");
