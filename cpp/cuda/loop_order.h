// Which ops of a loop have to wait for those before them.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "engine/kind.h"
#include "engine/program.h"

namespace nengo_dl {
namespace cuda {

// What of memory an op touches: elements of a buffer, both included, in an old or a new row.
struct Touch {
  int64_t buffer, shift, first, last;
  bool writes;
};

inline bool collide(const Touch& a, const Touch& b) {
  return (a.writes || b.writes) && a.buffer == b.buffer && a.shift == b.shift && a.first <= b.last && b.first <= a.last;
}

inline Touch touch(const Operand& o, int64_t shift, bool writes) {
  int64_t lowest = 0, highest = 0;
  for (size_t d = 0; d < o.shape.size(); ++d) {
    const int64_t reach = (o.shape[d] - 1) * o.strides[d];
    lowest += std::min<int64_t>(0, reach), highest += std::max<int64_t>(0, reach);
  }
  const auto [first, last] = std::minmax_element(o.offsets.begin(), o.offsets.end());
  return {o.buffer, shift, *first + lowest, *last + highest, writes};
}

// Values on the way forward. An update of a carried buffer reads the old row and writes the new one.
inline std::vector<Touch> touches(const OpRecord& op, const Program& program) {
  std::vector<Touch> found;
  const Kind& kind = find_kind(op.kind);
  for (const auto& [name, o] : op.args) {
    const Access access = kind.find_arg(name)->access;
    const bool rows = program.buffers[o.buffer].kind == BufferKind::carried;
    found.push_back(touch(o, rows ? o.shift : 0, access != Access::read));
    if (access == Access::update && rows) found.push_back(touch(o, 0, false));
  }
  return found;
}

// Adjoints on the way back: what was read is added to.
inline std::vector<Touch> touches_back(const OpRecord& op) {
  std::vector<Touch> found;
  const Kind& kind = find_kind(op.kind);
  for (const auto& [name, o] : op.args) {
    const Access access = kind.find_arg(name)->access;
    found.push_back(touch(o, 0, access == Access::read || access == Access::update));
  }
  return found;
}

// Says of ops in their order whether one has to wait for those before it.
class Order {
 public:
  bool waits(const std::vector<Touch>& next) {
    bool found = false;
    for (const Touch& a : next)
      for (const Touch& b : since_) found = found || collide(a, b);
    if (found) since_.clear();
    since_.insert(since_.end(), next.begin(), next.end());
    return found;
  }

 private:
  std::vector<Touch> since_;  // the last barrier
};

}  // namespace cuda
}  // namespace nengo_dl
