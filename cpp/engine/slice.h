// Cuts ops: into blocks, and where a kind allows it into lanes, elements along the first axis of all its arguments.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/program.h"

namespace nengo_dl {

// Whether some blocks of an op may run apart from the others: not if they take random numbers, in order of the blocks.
bool divides(const OpRecord& op);
// How many lanes a block may be cut into: 1 if it can't be. Say a filter over a vector of 100 has one block: 100.
int64_t lanes(const OpRecord& op);
// Parts that are looked at to share out an op: blocks, or of one with few blocks their lanes.
int64_t part_count(const OpRecord& op);
// Lanes first .. first+count-1 of some blocks, in the order in which they are named.
OpRecord slice(const OpRecord& op, const std::vector<int64_t>& blocks, int64_t first, int64_t count);

}  // namespace nengo_dl
