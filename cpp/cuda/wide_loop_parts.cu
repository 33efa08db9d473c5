#include "cuda/wide_loop_parts.h"

#include <algorithm>
#include <set>

#include "ops/util.h"

namespace nengo_dl {
namespace cuda {
namespace {

WideArg whole(const Operand& o, int64_t k) {
  WideArg arg{o.buffer, o.shift, {}};
  for_each_element(View(o), [&](int64_t e) { arg.at.push_back(o.offsets[k] + e); });
  return arg;
}
WideArg indexed(const OpRecord& op, const std::string& name, const std::string& key, int64_t k) {
  const Operand& o = op.arg(name);
  if (!op.has(key)) return whole(o, k);
  WideArg arg{o.buffer, o.shift, {}};
  for (int64_t i : op.integers(key)) arg.at.push_back(o.offsets[k] + i * (o.strides.empty() ? 0 : o.strides[0]));
  return arg;
}

void add_old(WidePart& part, int s, const Program& program) {
  WideArg& old = part.args[kWideOld + s];
  old = part.args[s];
  if (program.buffers[old.buffer].kind == BufferKind::carried) old.shift = 0;
}

void add_outer(WidePart& part, const OpRecord& op, int64_t k) {
  const Operand &delta = op.arg("delta"), &error = op.arg("error"), &pre = op.arg("pre_filtered");
  const View e(error), p(pre);
  WideArg &by_row = part.args[kWideIn] = {error.buffer, error.shift, {}},
          &by_column = part.args[kWideIn + 1] = {pre.buffer, pre.shift, {}};
  for (int64_t i = 0; i < delta.shape[0]; ++i)
    for (int64_t j = 0; j < delta.shape[1]; ++j) {
      by_row.at.push_back(error.offsets[k] + i * stride_of(e, 0));
      by_column.at.push_back(pre.offsets[k] + j * stride_of(p, 0));
    }
}

void add_product(WidePart& part, const OpRecord& op, int64_t k, const Program& program) {
  part.x = whole(op.arg("X"), k);
  if (op.find_arg("bias")) part.args[kWideIn] = whole(op.arg("bias"), k);
  if (part.kind == Wide::sparse) return need_wide(in_param(op.arg("A"), program));
  const Operand& A = op.arg("A");
  WideArg rows{A.buffer, A.shift, {}};
  for (int64_t i = 0; i < A.shape[0]; ++i) rows.at.push_back(A.offsets[k] + i * A.strides[0]);
  part.a_step = A.strides[1];
  (in_param(A, program) ? part.weights : part.args[kWideA]) = rows;
}

const std::pair<const char*, const char*> kKinds[] = {{"copy", "dst"},    {"elementwise", "Y"}, {"lowpass", "y"},
                                                      {"neurons", "out"}, {"pes", "delta"},     {"output", "src"},
                                                      {"dense", "Y"},     {"sparse", "Y"}};

WidePart part_of(const OpRecord& op, size_t number, int64_t k, const Program& program) {
  const auto* const found =
      std::find_if(std::begin(kKinds), std::end(kKinds), [&](const auto& kind) { return op.kind == kind.first; });
  need_wide(found != std::end(kKinds));
  WidePart part{};
  part.kind = static_cast<Wide>(found - std::begin(kKinds));
  part.op = &op, part.number = number, part.block = k;
  part.args[0] = part.kind == Wide::copy ? indexed(op, "dst", "dst_index", k) : whole(op.arg(found->second), k);
  const bool adds = part.kind == Wide::copy || part.kind == Wide::elementwise || part.kind >= Wide::dense;
  part.set = !adds || op.set();
  if (!part.set || part.kind == Wide::lowpass) add_old(part, 0, program);
  if (part.kind == Wide::copy) part.args[kWideIn] = indexed(op, "src", "src_index", k);
  if (part.kind == Wide::elementwise)
    part.args[kWideIn] = whole(op.arg("A"), k), part.args[kWideIn + 1] = whole(op.arg("X"), k);
  if (part.kind == Wide::lowpass) part.args[kWideIn] = whole(op.arg("x"), k);
  if (part.kind == Wide::output) part.args[kWideIn] = part.args[0], part.outs = 0;
  if (part.kind == Wide::outer) add_outer(part, op, k);
  if (part.kind >= Wide::dense) add_product(part, op, k, program);
  if (part.kind == Wide::neurons) {
    part.args[kWideIn] = whole(op.arg("J"), k);
    for (const NeuronSpec& spec : neuron_specs()) {
      if (spec.name != op.text("type")) continue;
      for (const std::string& state : spec.states) {
        part.args[part.outs] = whole(op.arg(state), k);
        add_old(part, part.outs++, program);
      }
    }
  }
  for (const WideArg& arg : part.args) need_wide(!arg.there() || static_cast<int64_t>(arg.at.size()) == part.count());
  const std::vector<int64_t>& to = part.args[0].at;  // by a thread each; a copy may name one several times
  need_wide(part.kind != Wide::copy || std::set<int64_t>(to.begin(), to.end()).size() == to.size());
  return part;
}

}  // namespace

std::vector<WidePart> wide_parts(const std::vector<LoopOp>& ops, const Program& program) {
  std::vector<WidePart> parts;
  for (size_t i = 0; i < ops.size(); ++i)
    for (int64_t k = 0; k < ops[i].op->blocks; ++k) parts.push_back(part_of(*ops[i].op, i, k, program));
  return parts;
}

}  // namespace cuda
}  // namespace nengo_dl
