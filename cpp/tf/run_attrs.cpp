#include "tf/run_attrs.h"

#include "absl/strings/str_join.h"

namespace nengo_dl {

using absl::Status;

namespace {

Status expect_list(const std::string& op, const char* name, const std::vector<int64_t>& got,
                   const std::vector<int64_t>& expected) {
  if (got == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(op, ": '", name, "': expected [", absl::StrJoin(expected, ", "),
                                                 "], as the program says, got [", absl::StrJoin(got, ", "), "]"));
}

Status expect_count(tensorflow::OpKernelConstruction* ctx, const std::string& op, const char* name, size_t expected) {
  int64_t got = 0;
  TF_RETURN_IF_ERROR(ctx->GetAttr(name, &got));
  if (got == static_cast<int64_t>(expected)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(op, ": '", name, "': expected ", expected, ", as the program says, got ", got));
}

Status check_repeated(tensorflow::OpKernelConstruction* ctx, const std::string& op, const RunAttrs& attrs) {
  const Program& p = attrs.program();
  std::vector<int64_t> sizes, learned, expected_sizes;
  TF_RETURN_IF_ERROR(ctx->GetAttr("output_sizes", &sizes));
  TF_RETURN_IF_ERROR(ctx->GetAttr("learned", &learned));
  for (const Port& port : p.outputs) expected_sizes.push_back(port.size);
  TF_RETURN_IF_ERROR(expect_list(op, "output_sizes", sizes, expected_sizes));
  TF_RETURN_IF_ERROR(expect_list(op, "learned", learned, attrs.learned));
  TF_RETURN_IF_ERROR(expect_count(ctx, op, "n_inputs", p.inputs.size()));
  TF_RETURN_IF_ERROR(expect_count(ctx, op, "n_params", p.params.size()));
  TF_RETURN_IF_ERROR(expect_count(ctx, op, "n_outputs", p.outputs.size()));
  TF_RETURN_IF_ERROR(expect_count(ctx, op, "n_learned", attrs.learned.size()));
  if (attrs.options.keep_last.size() == p.outputs.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(op, ": 'keep_last': expected ", p.outputs.size(),
                                                 " entries, one per output, got ", attrs.options.keep_last.size()));
}

}  // namespace

Status check_places(const std::string& op, const char* name, const std::vector<int64_t>& places, size_t size) {
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i] >= 0 && places[i] < static_cast<int64_t>(size) && (i == 0 || places[i - 1] < places[i])) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(op, ": '", name, "': expected ascending entries below ", size, ", got ", places[i], " at ", i));
  }
  return absl::OkStatus();
}

Status RunAttrs::read(tensorflow::OpKernelConstruction* ctx, bool float64) {
  const std::string op = ctx->def().op();
  std::string bytes, backend;
  std::vector<int64_t> wanted;
  TF_RETURN_IF_ERROR(ctx->GetAttr("program", &bytes));
  TF_RETURN_IF_ERROR(ctx->GetAttr("backend", &backend));
  TF_RETURN_IF_ERROR(ctx->GetAttr("keep_last", &options.keep_last));
  TF_RETURN_IF_ERROR(ctx->GetAttr("callbacks", &options.callbacks));
  TF_RETURN_IF_ERROR(ctx->GetAttr("threads", &options.threads));
  TF_RETURN_IF_ERROR(ctx->GetAttr("memory", &record.memory));
  TF_RETURN_IF_ERROR(ctx->GetAttr("wanted", &wanted));
  if (options.threads < 0) {
    return absl::InvalidArgumentError(absl::StrCat(op, ": 'threads': expected 0 or more, got ", options.threads));
  }
  if (record.memory < -1) {
    return absl::InvalidArgumentError(
        absl::StrCat(op, ": 'memory': expected a number of bytes, or -1 for no limit, got ", record.memory));
  }
  TF_RETURN_IF_ERROR(compile(op.c_str(), bytes, backend, &compiled));
  if (on_gpu(*ctx) && compiled->on_host()) {
    return absl::InvalidArgumentError(absl::StrCat(op, ": 'backend': expected one for the GPU that the op was placed ",
                                                   "on, got '", backend, "', which needs the memory of the host"));
  }
  const Program& p = program();
  if (p.float64 != float64) {
    return absl::InvalidArgumentError(absl::StrCat(op, ": 'T': expected ", p.float64 ? "float64" : "float32",
                                                   ", as the program has, got ", float64 ? "float64" : "float32"));
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
