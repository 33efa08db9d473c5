// The tape of a run: where recorded values and checkpoints lie. Depends on the program, the batch, the number of steps
// and the options, never on threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/facts.h"
#include "engine/geometry.h"

namespace nengo_dl {

constexpr int64_t kTapeAlign = 64;       // of its parts
constexpr int64_t kTapeStartAlign = 16;  // of a tape: what malloc and NumPy give

// Values of one window and one group of items, one behind the other.
struct WindowPlaces {
  std::vector<int64_t> place;  // per buffer: first element; -1 if it has no rows
  int64_t size = 0;            // elements
};

struct Checkpoint {  // where its parts begin, in bytes
  int64_t state, istate;
  std::vector<int64_t> learned;  // per param; -1 if nothing changes it
};

class TapeLayout {
 public:
  // ProgramError: no gradient. std::runtime_error: larger than memory can be.
  TapeLayout(const Facts& facts, const Activity& activity, int64_t batch, int64_t n_steps, int64_t memory,
             const Tiling& tiling);

  Needs needs;
  Geometry geometry;
  int64_t groups = 0, windows = 0;
  int64_t bytes = 0;
  int64_t first_kept = 0;  // windows from this one on keep their values

  int64_t steps(int64_t w) const { return w + 1 < windows ? geometry.window : last_steps_; }
  int64_t items(int64_t g) const { return g + 1 < groups ? geometry.group : last_items_; }
  const WindowPlaces& places(int64_t w, int64_t g) const { return places_[w + 1 == windows][g + 1 == groups]; }
  int64_t largest_window() const { return std::max(places_[0][0].size, places_[1][0].size); }  // elements, of a group
  int64_t values_at(int64_t w, int64_t g) const;                                  // bytes; w is a window that is kept
  int64_t checkpoint_at(int64_t w) const { return (w - 1) * checkpoint_bytes_; }  // 0 < w < first_kept
  const Checkpoint& checkpoint() const { return checkpoint_; }

  void check_memory(const Tape& tape) const;                                // std::invalid_argument
  void check(const Tape& tape, int64_t first_step, int64_t n_steps) const;  // likewise
  uint64_t number() const { return number_; }                               // stands for the program and all sizes

 private:
  int64_t item_bytes(const Program& program, const Activity& activity) const;
  void place_values(const Program& program);
  void place_checkpoint(const Program& program, const Flow& flow, int64_t batch);
  void place_windows(int64_t memory);
  int64_t window_bytes(bool last) const;

  uint64_t number_ = 0;
  int64_t element_, last_steps_ = 0, last_items_ = 0, checkpoint_bytes_ = 0, values_ = 0;
  WindowPlaces places_[2][2];  // [last window][last group]
  Checkpoint checkpoint_;
};

}  // namespace nengo_dl
