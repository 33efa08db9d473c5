#include "run_attrs.h"

#include "absl/strings/str_join.h"

namespace nengo_dl {

using absl::Status;

namespace {

Status expect_list(const std::string& op, const char* name, const std::vector<int64_t>& came,
                   const std::vector<int64_t>& due) {
  if (came == due) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(op, ": '", name, "' is [", absl::StrJoin(came, ", "),
                                                 "], the program says [", absl::StrJoin(due, ", "), "]"));
}

Status expect_count(tensorflow::OpKernelConstruction* ctx, const std::string& op, const char* name, size_t due) {
  int64_t came = 0;
  TF_RETURN_IF_ERROR(ctx->GetAttr(name, &came));
  if (came == static_cast<int64_t>(due)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(op, ": '", name, "' is ", came, ", the program says ", due));
}

Status check_repeated(tensorflow::OpKernelConstruction* ctx, const std::string& op, const RunAttrs& attrs) {
  const Program& p = attrs.program();
  std::vector<int64_t> sizes, learned, due_sizes;
  TF_RETURN_IF_ERROR(ctx->GetAttr("output_sizes", &sizes));
  TF_RETURN_IF_ERROR(ctx->GetAttr("learned", &learned));
  for (const Port& port : p.outputs) due_sizes.push_back(port.size);
  TF_RETURN_IF_ERROR(expect_list(op, "output_sizes", sizes, due_sizes));
  TF_RETURN_IF_ERROR(expect_list(op, "learned", learned, attrs.learned));
  TF_RETURN_IF_ERROR(expect_count(ctx, op, "n_inputs", p.inputs.size()));
  TF_RETURN_IF_ERROR(expect_count(ctx, op, "n_params", p.params.size()));
  TF_RETURN_IF_ERROR(expect_count(ctx, op, "n_outputs", p.outputs.size()));
  TF_RETURN_IF_ERROR(expect_count(ctx, op, "n_learned", attrs.learned.size()));
  if (attrs.options.keep_last.size() == p.outputs.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(op, ": 'keep_last' has ", attrs.options.keep_last.size(),
                                                 " entries, the program has ", p.outputs.size(), " outputs"));
}

}  // namespace

Status check_places(const std::string& op, const char* name, const std::vector<int64_t>& places, size_t size) {
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i] >= 0 && places[i] < static_cast<int64_t>(size) && (i == 0 || places[i - 1] < places[i])) continue;
    return absl::InvalidArgumentError(absl::StrCat(op, ": '", name, "' is due to have ascending entries below ", size,
                                                   ", came ", places[i], " at ", i));
  }
  return absl::OkStatus();
}

Status RunAttrs::read(tensorflow::OpKernelConstruction* ctx, bool float64) {
  const std::string op = ctx->def().op();
  std::string bytes;
  std::vector<int64_t> wanted;
  TF_RETURN_IF_ERROR(ctx->GetAttr("program", &bytes));
  TF_RETURN_IF_ERROR(ctx->GetAttr("keep_last", &options.keep_last));
  TF_RETURN_IF_ERROR(ctx->GetAttr("callbacks", &options.callbacks));
  TF_RETURN_IF_ERROR(ctx->GetAttr("threads", &options.threads));
  TF_RETURN_IF_ERROR(ctx->GetAttr("memory", &record.memory));
  TF_RETURN_IF_ERROR(ctx->GetAttr("wanted", &wanted));
  if (options.threads < 0) {
    return absl::InvalidArgumentError(absl::StrCat(op, ": 'threads' is due to be 0 or more, came ", options.threads));
  }
  if (record.memory < -1) {
    return absl::InvalidArgumentError(
        absl::StrCat(op, ": 'memory' is due to be a number of bytes, or -1 for no limit, came ", record.memory));
  }
  TF_RETURN_IF_ERROR(compile(op.c_str(), bytes, &compiled));
  const Program& p = program();
  if (p.float64 != float64) {
    return absl::InvalidArgumentError(absl::StrCat(op, ": the program computes in ", p.float64 ? "float64" : "float32",
                                                   ", but the op's T is ", float64 ? "float64" : "float32"));
  }
  for (size_t i = 0; i < p.params.size(); ++i) {
    if (p.params[i].learned) learned.push_back(i);
  }
  TF_RETURN_IF_ERROR(check_places(op, "wanted", wanted, p.params.size()));
  record.wanted_params.assign(p.params.size(), 0);
  for (int64_t i : wanted) record.wanted_params[i] = 1;
  return check_repeated(ctx, op, *this);
}

}  // namespace nengo_dl
