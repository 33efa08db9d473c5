// A window of a program shared out among workers that run one group of items together (engine/islands.h).
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "engine/schedule.h"
#include "engine/sharing.h"

namespace nengo_dl {

template <class T>
struct Division {
  using Kernels = std::vector<const Kernel<T>*>;
  struct Stretch {
    DividedOps ops;
    bool loop, by_steps;
    std::vector<Kernels> shares;  // per worker; if `by_steps` the first is everybody's
  };
  struct Part {
    size_t first, count;  // of the stretches
  };
  std::vector<Stretch> stretches;
  std::vector<Part> parts;  // one after the other: the stretches of a loop, or a single one
  std::vector<char> inner;  // per buffer: lies inside a unit of every worker that touches it (as in Schedule)
  // Per buffer: no worker touches an element of another, so that each has a place of its own for it. Side by side in
  // one place they would be slow: a processor fetches ahead what the other is about to write.
  std::vector<char> own;
  double work = 0,
         longest = 0;  // elements per step and item: of all workers, and the longest way through all stretches

  Division(const Schedule<T>& schedule, int workers);
  double waits(int64_t steps) const;  // how often all workers wait for each other, in a window of so many steps
  Division(const Division&) = delete;

  // Workers are at different ops of a stretch, so no two of its buffers share memory.
  const Sharing& sharing() const { return *sharing_; }

 private:
  void add_worker(const Schedule<T>& schedule, Program part);
  void find_own(const Program& program);
  void add_unit(const Schedule<T>& schedule, const Program& share, const Flow& flow, size_t region, const Unit& unit);

  // Per worker: its parts of the ops, a region for each stretch.
  std::deque<Program> programs_;
  std::deque<Flow> flows_;
  std::vector<std::unique_ptr<Kernel<T>>> kernels_;
  std::vector<char> stored_;  // per buffer: a unit puts values there, or looks for them
  std::unique_ptr<Sharing> sharing_;
};

}  // namespace nengo_dl
