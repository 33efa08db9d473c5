#include "engine/op_util.h"

#include <algorithm>
#include <cstdlib>

namespace nengo_dl {

bool is_contiguous(const View& o) {
  int64_t expected = 1;
  for (int64_t i = o.rank; i-- > 0;) {
    if (o.shape[i] != 1 && o.strides[i] != expected) return false;
    expected *= o.shape[i];
  }
  return true;
}

bool elements_differ(std::vector<std::pair<int64_t, int64_t>> dims) {
  std::sort(dims.begin(), dims.end());
  int64_t reach = 0;
  for (auto& [stride, size] : dims) {
    if (size == 1) continue;
    if (stride <= reach) return false;
    reach += stride * (size - 1);  // can't overflow: the operand's extent was checked
  }
  return true;
}

std::vector<std::pair<int64_t, int64_t>> dims_of(const Operand& o) {
  std::vector<std::pair<int64_t, int64_t>> dims;
  for (size_t i = 0; i < o.shape.size(); ++i) dims.emplace_back(std::abs(o.strides[i]), o.shape[i]);
  return dims;
}

bool all_equal(const std::vector<double>& values) {
  return std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) == values.end();
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

void need_shape(const OpRecord& op, const std::string& name, const std::vector<int64_t>& expected) {
  const std::vector<int64_t>& shape = op.arg(name).shape;
  const bool scalar = shape.empty() && expected == std::vector<int64_t>{1};
  if (shape != expected && !scalar)
    op.fail("argument '" + name + "': expected shape " + shape_text(expected) + ", got " + shape_text(shape));
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
