// How a run is cut into groups of items and windows of steps: a decision of the backend.
#pragma once

#include <cstdint>

#include "engine/api.h"

namespace nengo_dl {

// What the decision may depend on.
struct RunSizes {
  int64_t batch, n_steps;
  int64_t window;            // steps that the program asks for; 0: leaves it to the backend
  int64_t item_bytes;        // that one step of one item takes within a window
  bool whole;                // all items in one group: Python functions are called for all of them in a step
  int64_t matrix_bytes = 0;  // of the largest weights that all rows of a window are multiplied with
  double weight_uses = 1;    // of an element of all weights, per step and item, on average
};

struct Geometry {
  int64_t group = 1, window = 1;  // items and steps that are run together
  int64_t accumulators = 1;       // places where gradients of parameters are added up
};

class NDL_API Tiling {
 public:
  virtual ~Tiling();
  // Changes no results.
  virtual Geometry of_run(const RunSizes& sizes, int threads) const = 0;
  // Whether a run that touches `work` elements is long enough to find out how the `parts` of its ops (engine/slice.h)
  // may be shared out.
  virtual bool looks_for_division(double work, double parts) const = 0;
  // Whether workers should share out the ops of a window (engine/division.h). They touch `work` elements in it, on the
  // longest way `longest`, and all wait for each other `waits` times.
  virtual bool divides(double work, double longest, double waits) const = 0;
  // Of a run whose gradient is wanted: decides in which order weight gradients are summed, so it must not depend on
  // threads.
  virtual Geometry of_recorded_run(const RunSizes& sizes) const = 0;
};

// For the caches of a processor.
NDL_API const Tiling& cpu_tiling();

}  // namespace nengo_dl
