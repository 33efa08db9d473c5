#include "engine/elements.h"

#include <cstdlib>

#include "engine/op_util.h"

namespace nengo_dl {

Elements::Elements(int64_t size, const std::vector<const Operand*>& operands, int64_t* budget) : budget_(budget) {
  int64_t longest = 1;
  for (const Operand* o : operands)
    for (size_t i = 0; i < o->shape.size(); ++i)
      if (o->strides[i] != 0 && o->shape[i] > longest) longest = o->shape[i], step_ = std::abs(o->strides[i]);
  rows_ = size / step_ + 1;
}

// Calls f(first, last) for places side by side that together are those of all blocks; false if there are too many.
template <class F>
bool Elements::each_line(const Operand& operand, F&& f) const {
  View o(operand);
  int64_t lowest = 0, length = 1;
  for (int64_t i = 0; i < o.rank; ++i) {
    if (o.strides[i] == 0) o.shape[i] = 1;
    if (o.strides[i] < 0) lowest += (o.shape[i] - 1) * o.strides[i], o.strides[i] = -o.strides[i];
    if (length == 1 && o.strides[i] == step_) length = o.shape[i], o.shape[i] = 1;
  }
  const int64_t lines = o.count() * o.blocks;  // at most as many as elements, which validate() has counted
  if (lines > *budget_) return false;
  *budget_ -= lines;
  for (int64_t k = 0; k < o.blocks; ++k)
    for_each_element(o, [&](int64_t e) {
      const int64_t first = o.offsets[k] + lowest + e, place = first % step_ * rows_ + first / step_;
      f(place, place + length - 1);
    });
  return true;
}

Elements::Found Elements::find(const Operand& o) const {
  bool found = false;
  if (!each_line(o, [&](int64_t first, int64_t last) { found = found || places_.overlaps(first, last); }))
    return Found::unknown;
  return found ? Found::some : Found::none;
}

Elements::Found Elements::add(const Operand& o) {
  bool found = false;
  for (size_t i = 0; i < o.shape.size(); ++i) found = found || (o.strides[i] == 0 && o.shape[i] > 1);
  const bool known = each_line(o, [&](int64_t first, int64_t last) {
    found = found || places_.overlaps(first, last);
    places_.add(first, last);
  });
  return !known ? Found::unknown : found ? Found::some : Found::none;
}

}  // namespace nengo_dl
