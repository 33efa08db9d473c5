// Shows that the blocks and arguments of an op write each element at most once.
#include <algorithm>
#include <map>

#include "engine/op_util.h"
#include "engine/validate.h"

namespace nengo_dl {
namespace {

struct Piece {  // what one block of one argument may write
  int64_t first, last;
  const std::string* name;
  const Operand* operand;
  int64_t offset;
};

// Blocks of one argument that interleave regularly: column slices of one matrix.
bool regular_slices(const std::vector<Piece>& pieces) {
  const Operand* o = pieces[0].operand;
  for (size_t i = 1; i < pieces.size(); ++i)
    if (pieces[i].operand != o || pieces[i].first - pieces[i - 1].first != pieces[1].first - pieces[0].first)
      return false;
  auto dims = dims_of(*o);
  dims.emplace_back(pieces[1].first - pieces[0].first, static_cast<int64_t>(pieces.size()));
  return elements_differ(dims);
}

void mark_all(const OpRecord& op, const std::vector<Piece>& pieces, int64_t* budget) {
  int64_t elements = 0;
  for (const Piece& p : pieces)
    if (__builtin_add_overflow(elements, p.operand->count(), &elements) || elements > *budget)
      op.fail("writes interleaved pieces ('" + *p.name + "') that are too large to be shown not to overlap");
  *budget -= elements;
  std::vector<int64_t> written;
  written.reserve(elements);
  for (const Piece& p : pieces) {
    const size_t start = written.size();
    written.push_back(p.offset);
    for (size_t i = 0; i < p.operand->shape.size(); ++i)
      for (size_t n = written.size() - start, k = n; k < n * p.operand->shape[i]; ++k)
        written.push_back(written[start + k - n] + p.operand->strides[i]);
  }
  std::sort(written.begin(), written.end());
  if (std::adjacent_find(written.begin(), written.end()) != written.end())
    op.fail("writes the same element of a buffer more than once ('" + *pieces[0].name + "')");
}

void check_pieces(const OpRecord& op, std::vector<Piece>& pieces, int64_t* budget) {
  std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.first < b.first; });
  bool apart = true;
  for (size_t i = 1; apart && i < pieces.size(); ++i) apart = pieces[i - 1].last < pieces[i].first;
  for (size_t i = 0; apart && i < pieces.size(); ++i) {
    if (i && pieces[i].operand == pieces[i - 1].operand) continue;
    apart = elements_differ(dims_of(*pieces[i].operand));
  }
  if (apart || (pieces.size() > 1 && regular_slices(pieces))) return;
  mark_all(op, pieces, budget);
}

}  // namespace

void check_overlap(const OpRecord& op, const Kind& kind, int64_t* budget) {
  std::map<int64_t, std::vector<Piece>> written;  // by buffer
  for (const auto& [name, o] : op.args) {
    if (kind.find_arg(name)->access == Access::read) continue;
    int64_t lowest, highest;
    extent(o, &lowest, &highest);
    for (int64_t offset : o.offsets)
      written[o.buffer].push_back({offset + lowest, offset + highest, &name, &o, offset});
  }
  for (auto& entry : written) check_pieces(op, entry.second, budget);
}

}  // namespace nengo_dl
