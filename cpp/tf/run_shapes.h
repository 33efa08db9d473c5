// What the shape functions of NengoDL>Run and NengoDL>RunGrad have in common: the inputs of a run.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace nengo_dl {

// Places of a run's inputs in both ops. Input 4 is a scalar of the op's own; the parameters follow the model's inputs.
// The type T is inferred from the state, which lists that may be empty can't give.
enum RunPlace { kState, kIstate, kFirstStep, kNSteps, kFifth, kInputs };

// Checks shapes of an op's inputs; errors begin with the name of the op, say what was expected and what it got.
class RunShapes {
 public:
  using Status = absl::Status;
  using DimensionHandle = tensorflow::shape_inference::DimensionHandle;
  using InferenceContext = tensorflow::shape_inference::InferenceContext;
  using ShapeHandle = tensorflow::shape_inference::ShapeHandle;

  RunShapes(InferenceContext* c, const char* op) : c_(c), op_(op) {}

  int n_inputs = 0, n_params = 0;
  std::vector<int> keep_last, output_sizes, learned;
  ShapeHandle state, istate;
  DimensionHandle batch, steps;

  Status read(const char* fifth);  // attributes and inputs of a run
  Status with_rank(const std::string& name, const char* expected, ShapeHandle* shape, int rank) const;
  Status merge_dim(const std::string& name, ShapeHandle shape, int axis, const char* meaning,
                   DimensionHandle* expected) const;
  Status invalid(const std::string& text) const {
    return absl::InvalidArgumentError(absl::StrCat("NengoDL>", op_, ": ", text));
  }
  ShapeHandle output(size_t i) const;
  ShapeHandle param(int i) const { return c_->input(kInputs + n_inputs + i); }

 private:
  Status read_steps();
  Status read_learned();

  InferenceContext* c_;
  const char* op_;
};

std::string numbered(const char* name, int i);

}  // namespace nengo_dl
