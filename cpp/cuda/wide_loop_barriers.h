// Where ops of a block wait: for what other threads have written or read since the last barrier.
#pragma once

#include <map>
#include <vector>

#include "cuda/wide_loop.h"

namespace nengo_dl {
namespace cuda {

constexpr int64_t kManyThreads = -2;

// Stands for the threads that an element is, one for each item: equal numbers are equal threads whatever the item
// (WideSharing::each, each_row, whose rows of an item go on where those of the one before end).
template <class T>
int64_t thread_of(const WideOp<T>& op, int64_t e) {
  const bool of_teams = op.kind >= Wide::dense && op.kind <= Wide::sparse && op.teams;
  if (!of_teams) return e % kWideThreads;
  constexpr int64_t kTeams = kWideThreads / kWideLanes;
  return op.count == 1 ? 0 : kWideThreads + op.count * kTeams + e % kTeams;
}
template <class T, class F>
void touches(const WideOp<T>& op, const std::vector<WideExchange>& exchanges, F f) {
  if (op.kind == Wide::receive) return;
  if (op.own)
    for (int32_t j = 0; j < op.n; ++j) f(op.x.row(0) + j * op.x.step, kManyThreads, false);
  const bool many = op.kind == Wide::send && exchanges[op.exchange].bits && exchanges[op.exchange].whole;
  for (int32_t e = 0; e < op.count; ++e)
    for (int s = 0; s < kWideNear; ++s) {
      const Near& n = op.near[s];
      const bool writes = s < op.outs && op.kind != Wide::send;
      const int64_t at = n.row(0) + e * n.step, thread = many ? kManyThreads : thread_of(op, e);
      if (s == kWideA && op.in_cells)
        for (int32_t j = 0; j < op.n; ++j) f(at + j * op.a_step, kManyThreads, false);
      else if (n.at >= 0)
        f(at, thread, writes);
    }
}
template <class T>
void add_barriers(std::vector<WideOp<T>>& ops, const std::vector<WideExchange>& exchanges) {
  std::map<int64_t, std::pair<int64_t, int64_t>> since;  // who has written, who has read
  for (WideOp<T>& op : ops) {
    if (op.kind == Wide::receive) {
      since.clear();
      continue;
    }
    touches(op, exchanges, [&](int64_t at, int64_t thread, bool writes) {
      const auto found = since.find(at);
      if (found == since.end()) return;
      const auto [wrote, read] = found->second;
      op.waits = op.waits || (wrote != -1 && wrote != thread) || (writes && read != -1 && read != thread);
    });
    if (op.waits) since.clear();
    touches(op, exchanges, [&](int64_t at, int64_t thread, bool writes) {
      auto& [wrote, read] = since.try_emplace(at, -1, -1).first->second;
      if (writes)
        wrote = thread;
      else
        read = read == -1 || read == thread ? thread : kManyThreads;
    });
  }
}

}  // namespace cuda
}  // namespace nengo_dl
