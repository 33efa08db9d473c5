// Exact sets of elements of a buffer, for what intervals from the first to the last can't tell.
#pragma once

#include <vector>

#include "engine/intervals.h"
#include "engine/program.h"

namespace nengo_dl {

// Elements of a buffer: all of an operand, or those that a list picks from each of its blocks, which are vectors.
struct Part {
  const Operand* operand;
  const std::vector<int64_t>* listed = nullptr;

  void ends(int64_t* lowest, int64_t* highest) const;  // of its elements, seen from the offset of a block
};

// How many steps of work a program may ask for with such sets: some seconds. An operand costs no more of them than it
// has elements, so that a program that spends them all would take as long for each of its own steps.
constexpr int64_t kMostSteps = int64_t{1} << 34;

// A bit for each element. An operand that names elements many times costs fewer steps: the words of bits between its
// first and last element, times the logarithm of its shape.
class Elements {
 public:
  enum class Found { none, some, unknown };  // unknown: there are too many elements, or all steps are spent

  // Of elements first .. last, which are all that will be asked for.
  Elements(int64_t first, int64_t last, int64_t* steps);

  // Whether elements of a part are in the set; add() then puts them there, and finds those, too, that come twice.
  Found find(const Part& part) const;
  Found add(const Part& part);

 private:
  template <class F>
  bool each_word(const Part& part, F&& f) const;
  template <class F>
  bool each_listed(const Part& part, F&& f) const;
  bool spend(int64_t steps) const;

  int64_t first_;
  int64_t* steps_;
  std::vector<uint64_t> bits_;  // none if there would be too many
};

}  // namespace nengo_dl
