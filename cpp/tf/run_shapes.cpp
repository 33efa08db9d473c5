#include "tf/run_shapes.h"

#include "tensorflow/core/framework/tensor.h"

namespace nengo_dl {

using absl::Status;

std::string numbered(const char* name, int i) { return std::string(name) + "[" + std::to_string(i) + "]"; }

// Merges one dimension of an input with what is known of it.
Status RunShapes::merge_dim(const std::string& name, ShapeHandle shape, int axis, const char* meaning,
                            DimensionHandle* expected) const {
  DimensionHandle merged;
  if (!c_->Merge(c_->Dim(shape, axis), *expected, &merged).ok()) {
    return invalid(absl::StrCat("input '", name, "': expected ", c_->DebugString(*expected), " at axis ", axis, " (",
                                meaning, "), got shape ", c_->DebugString(shape)));
  }
  *expected = merged;
  return absl::OkStatus();
}

Status RunShapes::with_rank(const std::string& name, const char* expected, ShapeHandle* shape, int rank) const {
  if (c_->WithRank(*shape, rank, shape).ok()) return absl::OkStatus();
  return invalid(absl::StrCat("input '", name, "': expected shape ", expected, ", got ", c_->DebugString(*shape)));
}

Status RunShapes::read(const char* fifth) {
  TF_RETURN_IF_ERROR(c_->GetAttr("n_inputs", &n_inputs));
  TF_RETURN_IF_ERROR(c_->GetAttr("n_params", &n_params));
  TF_RETURN_IF_ERROR(c_->GetAttr("keep_last", &keep_last));
  TF_RETURN_IF_ERROR(c_->GetAttr("output_sizes", &output_sizes));
  TF_RETURN_IF_ERROR(c_->GetAttr("learned", &learned));
  if (keep_last.size() != output_sizes.size()) {
    return invalid(absl::StrCat("'keep_last' and 'output_sizes': expected one entry per output, got ", keep_last.size(),
                                " and ", output_sizes.size()));
  }
  state = c_->input(kState);
  istate = c_->input(kIstate);
  TF_RETURN_IF_ERROR(with_rank("state", "(batch, state_size)", &state, 2));
  TF_RETURN_IF_ERROR(with_rank("istate", "(batch, istate_size)", &istate, 2));
  batch = c_->Dim(state, 0);
  TF_RETURN_IF_ERROR(merge_dim("istate", istate, 0, "minibatch", &batch));
  const char* scalars[] = {"first_step", "n_steps", fifth};
  for (int i = 0; i < 3; ++i) {
    ShapeHandle scalar = c_->input(kFirstStep + i);
    TF_RETURN_IF_ERROR(with_rank(scalars[i], "()", &scalar, 0));
  }
  TF_RETURN_IF_ERROR(read_steps());
  for (int i = 0; i < n_inputs; ++i) {
    ShapeHandle shape = c_->input(kInputs + i);
    const std::string name = numbered("inputs", i);
    TF_RETURN_IF_ERROR(with_rank(name, "(batch, n_steps, size)", &shape, 3));
    TF_RETURN_IF_ERROR(merge_dim(name, shape, 0, "minibatch", &batch));
    TF_RETURN_IF_ERROR(merge_dim(name, shape, 1, "steps", &steps));
  }
  return read_learned();
}

// The steps of this run: known if the input `n_steps` is a constant.
Status RunShapes::read_steps() {
  steps = c_->UnknownDim();
  const tensorflow::Tensor* value = c_->input_tensor(kNSteps);
  if (value == nullptr || value->NumElements() != 1) return absl::OkStatus();
  const int64_t n = value->flat<int64_t>()(0);
  if (n < 0) return invalid(absl::StrCat("'n_steps': expected 0 or more, got ", n));
  steps = c_->MakeDim(n);
  return absl::OkStatus();
}

Status RunShapes::read_learned() {
  for (int p : learned) {
    if (p < 0 || p >= n_params) {
      return invalid(absl::StrCat("'learned' names parameter ", p, " of ", n_params));
    }
    ShapeHandle shape = param(p);
    if (!c_->WithRankAtLeast(shape, 2, &shape).ok()) {
      return invalid(absl::StrCat("input '", numbered("params", p), "': expected shape (batch, ...), got ",
                                  c_->DebugString(shape)));
    }
    TF_RETURN_IF_ERROR(merge_dim(numbered("params", p), shape, 0, "minibatch", &batch));
  }
  return absl::OkStatus();
}

tensorflow::shape_inference::ShapeHandle RunShapes::output(size_t i) const {
  return c_->MakeShape({batch, keep_last[i] ? c_->MakeDim(1) : steps, c_->MakeDim(output_sizes[i])});
}

}  // namespace nengo_dl
