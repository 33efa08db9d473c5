// Which block has which elements of a loop that blocks share out, and what of it goes round between them.
#pragma once

#include <vector>

#include "cuda/wide_loop_parts.h"
#include "engine/sets.h"

namespace nengo_dl {
namespace cuda {

// Elements that are computed from each other one by one are one block's, always. `together`: neurons of an ensemble
// with the numbers that they get as well, for loops of many ensembles; else neurons are spread over all blocks, for
// loops whose products are too large for one.
class WideOwners {
 public:
  WideOwners(const std::vector<WidePart>& parts, const Program& program, int64_t blocks, bool together);

  int64_t blocks() const { return blocks_; }  // as many as there is something to do for
  int64_t count() const { return static_cast<int64_t>(written_.size()); }
  int64_t start(size_t buffer) const { return start_[buffer]; }
  // Elements of all buffers are numbered in one row.
  int64_t id(const WideArg& a, int64_t e) const { return start_[a.buffer] + e; }
  bool inner(int64_t id) const { return written_[id] != -1; }
  int32_t owner(int64_t id) const { return owner_[id]; }
  BufferKind kind(const WideArg& a) const { return program_.buffers[a.buffer].kind; }
  // Whether what `reader` multiplies consists of spikes of one height, made before it.
  bool spikes(const WidePart& reader) const;
  double height(const WidePart& reader) const;  // of theirs
  // How they, or other numbers, go round. `words`: of 32 bits, for a number.
  WideExchange exchange(const WidePart& reader, int32_t words) const;

 private:
  Sets joined() const;
  void join_ensembles(Sets& sets) const;
  struct Shares;
  void share_out();
  void by_words(Shares* shares);
  void by_ensembles(Shares* shares);
  bool one_owner(const WideArg& a) const;

  const std::vector<WidePart>& parts_;
  const Program& program_;
  int64_t blocks_;
  const bool together_;
  std::vector<int64_t> start_, written_;
  std::vector<const WidePart*> neurons_;  // that make an element, or null
  std::vector<int32_t> owner_;
};

}  // namespace cuda
}  // namespace nengo_dl
