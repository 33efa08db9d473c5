// A program compiled for one scalar type: constant, shared by all runs.
#pragma once

#include <memory>
#include <vector>

#include "engine/backend.h"
#include "engine/engine.h"
#include "engine/fusion.h"

namespace nengo_dl {

template <class T>
struct Stage {  // a region, compiled
  bool loop;
  std::vector<std::unique_ptr<Kernel<T>>> ops;    // each by itself: recorded runs and the way back
  std::vector<const Kernel<T>*> units;            // what other runs run
  std::vector<std::unique_ptr<Kernel<T>>> fused;  // those of `units` that are no op's own
};

template <class T>
struct Plan {  // constant, shared by all runs
  std::vector<Stage<T>> stages;
  bool has_callbacks = false;
  int64_t functions = 0;      // Python functions that the table must hold
  std::vector<int64_t> undo;  // state and learned buffers that change before the last callback of a step
  double work = 0;            // elements touched per step and item: what threads are worth
  double parts = 0;           // of all ops (engine/slice.h): what it costs to share them out
  const Flow flow;
  uint64_t fingerprint;  // of the program
  const Backend& backend;
  const bool fuse;
  Space& space;
  const Tiling& tiling;
  std::vector<std::vector<Unit>> units;  // per region
  std::vector<char> inner;               // per buffer: lies inside a unit, which stores nothing there

  Plan(const Program& program, uint64_t fingerprint, const Backend& backend, bool fuse);
  std::unique_ptr<Kernel<T>> make_kernel(const OpRecord& op, const Program& program) const {
    return backend.find_kernel(op.kind).template make<T>()(op, program);
  }
  const std::vector<Fusion>& fusions() const;  // none if it does not fuse

 private:
  void add_units(const Program& program);
};

}  // namespace nengo_dl
