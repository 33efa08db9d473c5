// Exact sets of elements of a buffer, for what intervals from the first to the last can't tell.
#pragma once

#include <vector>

#include "engine/intervals.h"
#include "engine/program.h"

namespace nengo_dl {

// Elements that lie `step` apart are kept side by side: with step 5, a column of a matrix of 5 columns (elements 2, 7,
// 12 ..) is one interval, however many rows it has. Adding and looking up take from a budget, which bounds the work
// that a program can ask for.
class Elements {
 public:
  enum class Found { none, some, unknown };  // unknown: the budget is spent

  // Of a buffer of `size` elements. `operands` are those to come: the longest dimension among them has stride `step`.
  Elements(int64_t size, const std::vector<const Operand*>& operands, int64_t* budget);

  // Whether elements of its blocks are in the set; add() then puts them there, and finds those, too, that come twice.
  Found find(const Operand& o) const;
  Found add(const Operand& o);

 private:
  template <class F>
  bool each_line(const Operand& o, F&& f) const;

  int64_t step_ = 1, rows_;
  int64_t* budget_;
  Intervals places_;
};

}  // namespace nengo_dl
