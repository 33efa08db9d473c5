#include "engine/slice.h"

#include <algorithm>

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

int64_t rows(const OpRecord& op) {
  const Kind& kind = find_kind(op.kind);
  if (kind.rows.empty() || op.has("rng")) return 1;
  const std::vector<int64_t>& shape = op.arg(kind.rows[0]).shape;
  return shape.empty() || shape[0] < 2 * kFewestRows ? 1 : shape[0];
}

bool has_many_blocks(const OpRecord& op) { return op.blocks >= 32; }

int64_t part_count(const OpRecord& op) {
  if (!divides(op)) return 1;
  return has_many_blocks(op) ? op.blocks : op.blocks * lanes(op);
}

OpRecord slice(const OpRecord& op, const std::vector<int64_t>& blocks, int64_t first, int64_t count, bool by_rows) {
  const Kind& kind = find_kind(op.kind);
  const bool whole = count == (by_rows ? rows(op) : lanes(op));
  const auto is_cut = [&](const std::string& name) {
    return !whole && (!by_rows || std::find(kind.rows.begin(), kind.rows.end(), name) != kind.rows.end());
  };
  OpRecord part = op;
  part.blocks = static_cast<int64_t>(blocks.size());
  for (auto& [name, o] : part.args) {
    int64_t start = 0;
    if (is_cut(name)) start = first * o.strides[0], o.shape[0] = count;
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
  if (by_rows && !whole && kind.cut_rows) kind.cut_rows(op, first, count, &part);
  return part;
}

}  // namespace nengo_dl
