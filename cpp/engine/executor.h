// A program compiled for one scalar type: constant, shared by all runs.
#pragma once

#include <memory>
#include <vector>

#include "engine/backend.h"
#include "engine/engine.h"
#include "engine/flow.h"

namespace nengo_dl {

template <class T>
struct Stage {  // a region, compiled
  bool loop;
  std::vector<std::unique_ptr<Kernel<T>>> ops;
};

template <class T>
struct Plan {  // constant, shared by all runs
  std::vector<Stage<T>> stages;
  bool has_callbacks = false;
  int64_t functions = 0;      // Python functions that the table must hold
  std::vector<int64_t> undo;  // state and learned buffers that change before the last callback of a step
  double work = 0;            // elements touched per step and item: what threads are worth
  const Flow flow;
  uint64_t fingerprint;  // of the program
  Space& space;
  const Tiling& tiling;

  Plan(const Program& program, uint64_t fingerprint, const Backend& backend);
};

}  // namespace nengo_dl
