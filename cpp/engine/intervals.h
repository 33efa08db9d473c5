// Sets of elements of a buffer, as intervals.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

#include "engine/program.h"

namespace nengo_dl {

class Intervals {
 public:
  void add(int64_t first, int64_t last) {  // both included; joins what touches
    auto it = ends_.upper_bound(first);
    if (it != ends_.begin() && std::prev(it)->second >= first - 1) --it;
    while (it != ends_.end() && it->first - 1 <= last) {
      first = std::min(first, it->first), last = std::max(last, it->second);
      it = ends_.erase(it);
    }
    ends_[first] = last;
  }
  bool overlaps(int64_t first, int64_t last) const {
    auto it = ends_.upper_bound(last);
    return it != ends_.begin() && std::prev(it)->second >= first;
  }
  bool covers(int64_t first, int64_t last) const {
    auto it = ends_.upper_bound(first);
    return it != ends_.begin() && std::prev(it)->second >= last;
  }
  bool overlaps(const Intervals& other) const {
    for (const auto& [first, last] : ends_)
      if (other.overlaps(first, last)) return true;
    return false;
  }
  void add(const Operand& o);
  bool overlaps(const Operand& o) const;
  bool empty() const { return ends_.empty(); }
  const std::map<int64_t, int64_t>& all() const { return ends_; }  // first -> last, ascending, apart

 private:
  std::map<int64_t, int64_t> ends_;
};

}  // namespace nengo_dl
