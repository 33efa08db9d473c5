// Shows that the blocks and arguments of an op write each element at most once.
#include <algorithm>
#include <map>

#include "engine/elements.h"
#include "engine/op_util.h"
#include "engine/validate.h"

namespace nengo_dl {
namespace {

struct Piece {  // what one block of one argument may write
  int64_t first, last;
  const Operand* operand;
};

// What an op writes into one buffer.
struct Writes {
  std::vector<std::pair<const std::string*, const Operand*>> operands;
  std::vector<Piece> pieces;  // ascending
};

// No piece reaches into the next one, and in none of them two elements are one.
bool side_by_side(const Writes& writes) {
  for (size_t i = 1; i < writes.pieces.size(); ++i)
    if (writes.pieces[i - 1].last >= writes.pieces[i].first) return false;
  for (const auto& written : writes.operands)
    if (!elements_differ(dims_of(*written.second))) return false;
  return true;
}

// Blocks of one argument that interleave regularly: column slices of one matrix.
bool regular_slices(const Writes& writes) {
  const std::vector<Piece>& pieces = writes.pieces;
  if (writes.operands.size() > 1 || pieces.size() < 2) return false;
  for (size_t i = 1; i < pieces.size(); ++i)
    if (pieces[i].first - pieces[i - 1].first != pieces[1].first - pieces[0].first) return false;
  auto dims = dims_of(*pieces[0].operand);
  dims.emplace_back(pieces[1].first - pieces[0].first, static_cast<int64_t>(pieces.size()));
  return elements_differ(dims);
}

void mark_all(const OpRecord& op, const Writes& writes, int64_t* steps) {
  int64_t last = 0;
  for (const Piece& piece : writes.pieces) last = std::max(last, piece.last);
  Elements marked(writes.pieces.front().first, last, steps);
  for (const auto& [name, operand] : writes.operands) {
    const Elements::Found found = marked.add({operand});
    if (found == Elements::Found::unknown)
      op.fail("writes interleaved pieces ('" + *name + "') that are too large to be shown not to overlap");
    if (found == Elements::Found::some) op.fail("writes the same element of a buffer more than once ('" + *name + "')");
  }
}

}  // namespace

void check_overlap(const OpRecord& op, const Kind& kind, int64_t* steps) {
  std::map<int64_t, Writes> written;  // by buffer
  for (const auto& [name, o] : op.args) {
    if (kind.find_arg(name)->access == Access::read) continue;
    int64_t lowest, highest;
    extent(o, &lowest, &highest);
    Writes& writes = written[o.buffer];
    writes.operands.emplace_back(&name, &o);
    for (int64_t offset : o.offsets) writes.pieces.push_back({offset + lowest, offset + highest, &o});
  }
  for (auto& entry : written) {
    Writes& writes = entry.second;
    std::sort(writes.pieces.begin(), writes.pieces.end(),
              [](const Piece& a, const Piece& b) { return a.first < b.first; });
    if (!side_by_side(writes) && !regular_slices(writes)) mark_all(op, writes, steps);
  }
}

}  // namespace nengo_dl
