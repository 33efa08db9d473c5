// Shares the ops of a region out among workers that run one group of items together.
//
// Parts of ops that touch common elements, one of them writing, form an island; islands exchange nothing, so that
// workers need not wait for each other. Two integrators x and y side by side, both in `dense` ops of two blocks, are
// two islands: block 0 of each op, and block 1. The filter over the vector (x, y) has one block with two lanes: lane 0
// belongs to the first island, lane 1 to the second.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/geometry.h"
#include "engine/program.h"

namespace nengo_dl {

// Ops of a region that follow each other. Between stretches all workers wait for each other.
struct Stretch {
  size_t first = 0, count = 0;                // of the region's ops
  bool by_steps = false;                      // each worker runs all of it, for some of the window's steps
  std::vector<std::vector<OpRecord>> shares;  // per worker: parts of ops; if `by_steps`, the first has them all
  double work = 0, longest = 0;               // elements per step: of all workers, and of the one with most to do
};

// A loop region is one stretch, its islands; or if they can't be shared out evenly several, which are done one after
// the other in every step, their products cut into rows if need be, or if that doesn't pay all of it for the first
// worker. A sequence region is several: of
// islands, of steps, or of what the first worker does alone.
std::vector<Stretch> divide(const Program& program, const Region& region, int workers, const Tiling& tiling);

// What waiting for each other within a step costs, against waiting where a thread may have fallen asleep.
constexpr double kShortWait = 0.1;

// The islands of a region in at most so many shares, however uneven they are; no share is empty.
NDL_API std::vector<std::vector<OpRecord>> share_islands(const Program& program, const Region& region, int most);

}  // namespace nengo_dl
