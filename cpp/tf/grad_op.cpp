// The signatures of NengoDL>RunGrad, NengoDL>RunGradOnGpu and NengoDL>NoGradient.
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tf/run_shapes.h"

namespace nengo_dl {
namespace {

using tensorflow::shape_inference::InferenceContext;

// Checks that the places are among `n`, and as many as there are outputs for them.
absl::Status check_places(InferenceContext* c, const RunShapes& run, const char* name, int n, const char* count,
                          std::vector<int>* places) {
  int outputs = 0;
  TF_RETURN_IF_ERROR(c->GetAttr(name, places));
  TF_RETURN_IF_ERROR(c->GetAttr(count, &outputs));
  if (outputs != static_cast<int>(places->size())) {
    return run.invalid(absl::StrCat("'", count, "': expected the number of entries of '", name, "', ", places->size(),
                                    ", got ", outputs));
  }
  for (size_t i = 0; i < places->size(); ++i) {
    const int place = (*places)[i];
    if (place >= 0 && place < n && (i == 0 || (*places)[i - 1] < place)) continue;
    return run.invalid(
        absl::StrCat("'", name, "': expected ascending entries from 0 to ", n - 1, ", got ", place, " at ", i));
  }
  return absl::OkStatus();
}

absl::Status check_same(InferenceContext* c, const RunShapes& run, const std::string& name, int place,
                        tensorflow::shape_inference::ShapeHandle expected) {
  tensorflow::shape_inference::ShapeHandle merged;
  if (c->Merge(c->input(place), expected, &merged).ok()) return absl::OkStatus();
  return run.invalid(absl::StrCat("input '", name, "': expected shape ", c->DebugString(expected), ", got ",
                                  c->DebugString(c->input(place))));
}

absl::Status grad_shapes(InferenceContext* c, const char* op) {
  RunShapes run(c, op);
  TF_RETURN_IF_ERROR(run.read("steps"));
  int place = kInputs + run.n_inputs + run.n_params;
  auto tape = c->input(place++);
  TF_RETURN_IF_ERROR(run.with_rank("tape", "()", &tape, 0));
  for (size_t i = 0; i < run.output_sizes.size(); ++i) {
    TF_RETURN_IF_ERROR(check_same(c, run, numbered("output_grads", i), place++, run.output(i)));
  }
  for (size_t i = 0; i < run.learned.size(); ++i) {
    TF_RETURN_IF_ERROR(check_same(c, run, numbered("learned_grads", i), place++, run.param(run.learned[i])));
  }
  TF_RETURN_IF_ERROR(check_same(c, run, "state_out_grad", place, run.state));

  std::vector<int> inputs, params;
  bool want_state = false;
  int n_states = 0;
  TF_RETURN_IF_ERROR(check_places(c, run, "want_inputs", run.n_inputs, "n_input_grads", &inputs));
  TF_RETURN_IF_ERROR(check_places(c, run, "want_params", run.n_params, "n_param_grads", &params));
  TF_RETURN_IF_ERROR(c->GetAttr("want_state", &want_state));
  TF_RETURN_IF_ERROR(c->GetAttr("n_state_grads", &n_states));
  if (n_states != (want_state ? 1 : 0)) {
    return run.invalid(absl::StrCat("'n_state_grads': expected ", want_state ? 1 : 0, ", got ", n_states));
  }
  int out = 0;
  for (int i : inputs) c->set_output(out++, c->input(kInputs + i));
  for (int i : params) c->set_output(out++, run.param(i));
  if (want_state) c->set_output(out, run.state);
  return absl::OkStatus();
}

constexpr const char* kDoc = R"doc(
Gradient of NengoDL>Run: from the derivatives of a loss by what a run gave, those by what it was given.

A gradient that is all zeros is found out and costs nothing more. Learning rules pass nothing on (docs/PROGRAM.md).

state: State before the run; this and the next three inputs, `inputs`, `params` and the attributes are those of the run.
istate: State of the random generators before the run.
first_step: Steps done before the run.
n_steps: Steps that were to do.
steps: Steps that were done: a run that stopped early has no gradient.
inputs: Rows of each model input.
params: Parameters of the program, before the run.
tape: What the run recorded, with the same `memory` and `wanted`; if it holds nothing, the run is done
  again.
output_grads: Derivatives by the outputs, of their shapes.
learned_grads: Derivatives by the learned parameters after the run, in the order of `learned`.
state_out_grad: Derivatives by the state after the run.
input_grads: Derivatives by the inputs that `want_inputs` names, in its order.
param_grads: Derivatives by the parameters that `want_params` names, before the run, in their shapes.
state_grad: Derivatives by the state before the run, if `want_state`.
want_inputs: Places of the inputs whose gradients are computed, ascending.
want_params: Places of the parameters whose gradients are computed, ascending; with a tape, some of `wanted`.
want_state: Whether the gradient by the state is computed.
)doc";

#define REGISTER_RUN_GRAD(op)                                             \
  REGISTER_OP("NengoDL>" op)                                              \
      .Input("state: T")                                                  \
      .Input("istate: int32")                                             \
      .Input("first_step: int64")                                         \
      .Input("n_steps: int64")                                            \
      .Input("steps: int64")                                              \
      .Input("inputs: n_inputs * T")                                      \
      .Input("params: n_params * T")                                      \
      .Input("tape: variant")                                             \
      .Input("output_grads: n_outputs * T")                               \
      .Input("learned_grads: n_learned * T")                              \
      .Input("state_out_grad: T")                                         \
      .Output("input_grads: n_input_grads * T")                           \
      .Output("param_grads: n_param_grads * T")                           \
      .Output("state_grad: n_state_grads * T")                            \
      .Attr("T: {float, double}")                                         \
      .Attr("n_inputs: int >= 0")                                         \
      .Attr("n_params: int >= 0")                                         \
      .Attr("n_outputs: int >= 0")                                        \
      .Attr("n_learned: int >= 0")                                        \
      .Attr("n_input_grads: int >= 0")                                    \
      .Attr("n_param_grads: int >= 0")                                    \
      .Attr("n_state_grads: int >= 0")                                    \
      .Attr("program: string")                                            \
      .Attr("output_sizes: list(int) >= 0")                               \
      .Attr("keep_last: list(int) >= 0")                                  \
      .Attr("learned: list(int) >= 0")                                    \
      .Attr("callbacks: int = -1")                                        \
      .Attr("backend: string = 'cpu'")                                    \
      .Attr("threads: int = 0")                                           \
      .Attr("memory: int = -1")                                           \
      .Attr("wanted: list(int) >= 0 = []")                                \
      .Attr("want_inputs: list(int) >= 0")                                \
      .Attr("want_params: list(int) >= 0")                                \
      .Attr("want_state: bool")                                           \
      .SetShapeFn([](InferenceContext* c) { return grad_shapes(c, op); }) \
      .Doc(kDoc)

REGISTER_RUN_GRAD("RunGrad");
REGISTER_RUN_GRAD("RunGradOnGpu");

REGISTER_OP("NengoDL>NoGradient")
    .Input("x: T")
    .Output("y: T")
    .Attr("T: {float, double}")
    .Attr("message: string")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape)
    .Doc(R"doc(
Stands for a derivative that is not defined: fails with the message when somebody computes it.

x: Any tensor.
y: Never made.
message: What is said.
)doc");

}  // namespace
}  // namespace nengo_dl
