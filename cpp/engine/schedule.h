// What a backend runs of a program, in one precision: constant, shared by all runs.
#pragma once

#include <memory>
#include <vector>

#include "engine/backend.h"
#include "engine/facts.h"
#include "engine/fusion.h"

namespace nengo_dl {

template <class T>
struct Stage {  // a region
  bool loop;
  std::vector<const Kernel<T>*> forward;          // of its units: what a run runs
  std::vector<std::unique_ptr<Kernel<T>>> ops;    // each op by itself: recorded runs and the way back
  std::vector<std::unique_ptr<Kernel<T>>> fused;  // those of `forward` that are no op's own
  std::unique_ptr<Kernel<T>> whole = nullptr;     // of a loop: runs all of its ops for any number of steps, if not null
  bool has_outputs = false;
};

template <class T>
struct Schedule {
  const Facts& facts;
  const Backend& backend;
  const bool fuse;
  std::vector<Stage<T>> stages;          // per region
  std::vector<std::vector<Unit>> units;  // per region
  std::vector<char> inner;               // per buffer: lies inside a unit, which stores nothing there
  int64_t room = 0;                      // elements that each thread of a run needs (Kernel::room); parts need no more

  Schedule(const Facts& facts, const Backend& backend, bool fuse);
  Schedule(const Schedule&) = delete;

  Space& space() const { return backend.space(); }
  const Tiling& tiling() const { return backend.tiling(); }
  const std::vector<Fusion>& fusions() const;  // none if it does not fuse
  std::unique_ptr<Kernel<T>> make_kernel(const OpRecord& op, const Program& program) const {
    return backend.find_kernel(op.kind).template make<T>()(op, program);
  }

  // A kernel for a whole loop, or null.
  std::unique_ptr<Kernel<T>> make_loop(const std::vector<LoopOp>& ops) const {
    const MakeLoop<T>& make = backend.loops().template run<T>();
    return make ? make(ops, facts.program) : nullptr;
  }
  std::unique_ptr<Kernel<T>> make_loop_back(const std::vector<LoopOp>& ops) const {
    const MakeLoop<T>& make = backend.loops().template back<T>();
    return make ? make(ops, facts.program) : nullptr;
  }

 private:
  void add_units(size_t region);
  void add_whole(size_t region);
};

}  // namespace nengo_dl
