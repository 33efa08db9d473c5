// Cuts ops: into blocks, and where a kind allows it into lanes, elements along the first axis of all its arguments, or
// rows, which other rows have to do with only in that they read the same.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/program.h"

namespace nengo_dl {

// Whether some blocks of an op may run apart from the others: not if they take random numbers, in order of the blocks.
bool divides(const OpRecord& op);
// How many lanes a block may be cut into: 1 if it can't be. Say a filter over a vector of 100 has one block: 100.
int64_t lanes(const OpRecord& op);
// How many rows a block has: 1 if it can't be cut between them. Say a product has as many as it has outputs.
int64_t rows(const OpRecord& op);
// No part may have fewer: products of less add up in another order (kernels/dense_rows.cpp).
constexpr int64_t kFewestRows = 8;
// Parts that are looked at to share out an op: blocks, or of one with few blocks their lanes.
int64_t part_count(const OpRecord& op);
constexpr int64_t kEnoughPieces = 64;      // into which threads cut a block: more would make shares no evener
bool has_many_blocks(const OpRecord& op);  // enough to share them out evenly
// Lanes first .. first+count-1 of some blocks, in the order in which they are named, or `by_rows` their rows.
OpRecord slice(const OpRecord& op, const std::vector<int64_t>& blocks, int64_t first, int64_t count,
               bool by_rows = false);

}  // namespace nengo_dl
