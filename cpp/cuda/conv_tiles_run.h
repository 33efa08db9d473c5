// Which tiles a job is given, if they pay. Compiled by a source for each precision.
#pragma once

#include <algorithm>
#include <string>

#include "cuda/conv_tiles_map.h"
#include "cuda/conv_tiles_weights.h"

namespace nengo_dl {
namespace cuda {

// Does the job and returns true if tiles are faster than phases. `asked`, for tests: "1": wherever they are possible;
// "wide", "square", "narrow", "slim": likewise, and only those.
bool run_conv_tiles(const MapJob<float>& job, const std::string& asked);
bool run_conv_tiles(const MapJob<double>& job, const std::string& asked);
bool run_conv_tiles(const WeightJob<float>& job, const std::string& asked);
bool run_conv_tiles(const WeightJob<double>& job, const std::string& asked);

// The best size of tiles so far, by what a term costs: multiply-adds of all tiles, also outside of the sums, times
// `price`, which counts what loads a thread does beside them. A GPU of 132 processors has room for 264 blocks at once.
template <class Job>
struct ConvChoice {
  const std::string& asked;
  double cost = 0, slots = 0;
  void (*launch)(const Job& job) = nullptr;

  template <class Tile>
  void offer(const Job& job, double price, const char* name) {
    if (asked != name && asked != "1" && !asked.empty()) return;
    const int64_t blocks = job.template blocks<Tile>();
    const double slots_of = double(blocks) * job.busy() * Tile::rows * Tile::columns;
    const double cost_of = std::max(slots_of, 264.0 * Tile::rows * Tile::columns) * price;
    if (blocks > INT32_MAX || (launch && cost <= cost_of)) return;
    cost = cost_of, slots = slots_of;
    launch = [](const Job& asked) {
      const int64_t count = asked.template blocks<Tile>();
      if (asked.rows_inner())
        launch_tiles(ConvTiles<Job, Tile, true>{asked}, count);
      else
        launch_tiles(ConvTiles<Job, Tile, false>{asked}, count);
    };
  }
};

template <class Job>
bool run_tiles_of(const Job& job, const std::string& asked) {
  ConvChoice<Job> choice{asked};
  if constexpr (sizeof(typename Job::Scalar) == 4 && !Job::sums) choice.template offer<WideTile>(job, 1.0, "wide");
  choice.template offer<SquareTile>(job, 1.1, "square");
  choice.template offer<NarrowTile>(job, 1.15, "narrow");
  choice.template offer<SlimTile>(job, 1.35, "slim");
  // A phase takes some 40 cycles for a term, and all threads of a GPU at once, 10 instructions; a tile some 90 cycles,
  // half of its instructions being multiply-adds. So phases win where there are fewer sums than threads, and where most
  // of a tile lies outside of the sums.
  constexpr double kSums = 1 << 17, kUsed = 0.25;
  const double sums = job.all_sums();
  const bool pays = sums >= kSums && sums * job.filled() >= kUsed * choice.slots;
  if (!choice.launch || !job.countable() || (asked.empty() && !pays)) return false;
  choice.launch(job);
  return true;
}

}  // namespace cuda
}  // namespace nengo_dl
