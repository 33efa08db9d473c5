// Sets of numbers that grow together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace nengo_dl {

// At first each number is a set of its own; a set goes by the smallest of its numbers.
class Sets {
 public:
  explicit Sets(size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), 0); }
  int64_t find(int64_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(int64_t a, int64_t b) {
    a = find(a), b = find(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<int64_t> parent_;
};

}  // namespace nengo_dl
