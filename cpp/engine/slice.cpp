#include "engine/slice.h"

#include "engine/kind.h"

namespace nengo_dl {

bool divides(const OpRecord& op) { return find_kind(op.kind).slices && !op.has("rng"); }

int64_t lanes(const OpRecord& op) {
  if (!find_kind(op.kind).lanes || !divides(op)) return 1;
  for (const auto& entry : op.attrs)
    if (std::holds_alternative<std::vector<int64_t>>(entry.second)) return 1;  // lists elements by their numbers
  const Operand& any = op.args.begin()->second;
  const int64_t n = any.shape.empty() ? 1 : any.shape[0];
  for (const auto& entry : op.args)  // a neuron type's argument may be one for all neurons
    if (entry.second.shape.empty() || entry.second.shape[0] != n) return 1;
  return n;
}

int64_t part_count(const OpRecord& op) {
  constexpr int64_t kMany = 32;  // blocks are enough to share out evenly
  if (!divides(op)) return 1;
  return op.blocks < kMany ? op.blocks * lanes(op) : op.blocks;
}

OpRecord slice(const OpRecord& op, const std::vector<int64_t>& blocks, int64_t first, int64_t count) {
  const Kind& kind = find_kind(op.kind);
  OpRecord part = op;
  part.blocks = static_cast<int64_t>(blocks.size());
  for (auto& [name, o] : part.args) {
    int64_t start = 0;
    if (count != lanes(op)) start = first * o.strides[0], o.shape[0] = count;
    o.offsets.clear();
    for (int64_t b : blocks) o.offsets.push_back(op.args.at(name).offsets[b] + start);
  }
  for (auto& [name, attr] : part.attrs) {
    const AttrSpec* spec = kind.find_attr(name);
    auto* values = std::get_if<std::vector<double>>(&attr);
    if (!spec || !spec->per_block || !values || values->size() == 1) continue;
    std::vector<double> kept;
    for (int64_t b : blocks) kept.push_back((*values)[b]);
    *values = std::move(kept);
  }
  return part;
}

}  // namespace nengo_dl
