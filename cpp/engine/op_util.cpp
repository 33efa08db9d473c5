#include "engine/op_util.h"

#include <algorithm>

namespace nengo_dl {

bool is_contiguous(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  int64_t due = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != due) return false;
    due *= shape[i];
  }
  return true;
}

std::vector<double> per_block(const OpRecord& op, const std::string& key) {
  const std::vector<double>& values = op.numbers(key);
  const size_t blocks = static_cast<size_t>(op.blocks);
  if (values.size() == 1) return std::vector<double>(blocks, values[0]);
  if (values.size() != blocks)
    op.fail("attribute '" + key + "' has " + std::to_string(values.size()) + " values, 1 or " +
            std::to_string(op.blocks) + " (one per block) were due");
  return values;
}

bool all_equal(const std::vector<double>& values) {
  return std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) == values.end();
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

void need_shape(const OpRecord& op, const std::string& name, const std::vector<int64_t>& due) {
  const std::vector<int64_t>& shape = op.arg(name).shape;
  const bool scalar = shape.empty() && due == std::vector<int64_t>{1};
  if (shape != due && !scalar)
    op.fail("'" + name + "' has shape " + shape_text(shape) + ", " + shape_text(due) + " was due");
}

namespace {

bool regular(const std::vector<int64_t>& offsets) {
  for (size_t k = 2; k < offsets.size(); ++k)
    if (offsets[k] - offsets[k - 1] != offsets[1] - offsets[0]) return false;
  return true;
}

// Dimension d of all operands can be joined with d+1: walking on over the end of d+1 is one step of d.
bool joins(const Nest& nest, size_t d) {
  for (const auto& s : nest.strides)
    if (s[d] != nest.shape[d + 1] * s[d + 1]) return false;
  return true;
}

void drop(Nest& nest, size_t d) {
  nest.shape.erase(nest.shape.begin() + d);
  for (auto& s : nest.strides) s.erase(s.begin() + d);
}

}  // namespace

Nest make_nest(const std::vector<const Operand*>& operands) {
  Nest nest;
  nest.shape = operands[0]->shape;
  nest.blocks = static_cast<int64_t>(operands[0]->offsets.size());
  for (const Operand* o : operands) nest.strides.push_back(o->strides), nest.offsets.push_back(o->offsets);
  if (std::all_of(nest.offsets.begin(), nest.offsets.end(), regular) && nest.blocks > 1) {
    nest.shape.insert(nest.shape.begin(), nest.blocks);
    for (size_t o = 0; o < operands.size(); ++o) {
      nest.strides[o].insert(nest.strides[o].begin(), nest.offsets[o][1] - nest.offsets[o][0]);
      nest.offsets[o].resize(1);
    }
    nest.blocks = 1;
  }
  for (size_t d = nest.shape.size(); d-- > 0;)
    if (nest.shape[d] == 1) drop(nest, d);
  for (size_t d = nest.shape.size(); d-- > 1;)
    if (joins(nest, d - 1)) {
      nest.shape[d] *= nest.shape[d - 1];
      drop(nest, d - 1);
    }
  if (nest.shape.empty()) {
    nest.shape.push_back(1);
    for (auto& s : nest.strides) s.push_back(1);
  }
  return nest;
}

}  // namespace nengo_dl
