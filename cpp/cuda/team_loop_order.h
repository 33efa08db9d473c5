// In which order a team does its ops, who waits for whom, and which warps do what.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "cuda/team_loop.h"

namespace nengo_dl {
namespace cuda {

template <class T>
class TeamOrder {
  static constexpr int32_t kShared = 32;  // elements that are worth sharing out

 public:
  using Ops = std::vector<TeamOp<T>>;
  explicit TeamOrder(bool back) : back_(back) {}

  // Ops that don't wait for each other side by side; products first among them.
  void order(Ops& steps) const {
    std::vector<std::pair<int64_t, size_t>> keys;
    std::vector<std::vector<Touched>> all;
    std::vector<int64_t> level;
    for (size_t i = 0; i < steps.size(); ++i) {
      all.push_back(touched(steps[i]));
      level.push_back(0);
      for (size_t k = 0; k < i; ++k)
        for (const Touched& a : all[i])
          for (const Touched& b : all[k])
            if (meet(a, b)) level[i] = std::max(level[i], level[k] + 1);
      const TeamOp<T>& op = steps[i];
      const int rank = op.kind == team_load ? 0 : op.kind == team_dense ? 1 : 2;
      keys.emplace_back(4 * level[i] + rank, i);
    }
    std::stable_sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    Ops sorted;
    for (const auto& key : keys) sorted.push_back(steps[key.second]);
    steps = std::move(sorted);
  }
  // Where the next op that touches what an op writes shares out the same elements, each block may write its part only:
  // what the others have is told by the last of such ops, and nobody waits before.
  void find_own(Ops& steps) const {
    for (TeamOp<T>& op : steps) {
      TeamOp<T>* const next = next_for(steps, op);
      if (next && op.split && next->kind == team_dense) next->split = true;
    }
    for (size_t i = steps.size(); i-- > 0;)
      if (const TeamOp<T>* const next = next_for(steps, steps[i]); next && next->split)
        steps[i].split = steps[i].own = true;
  }
  // Several rounds, as the ops of a step may have to wait for those of the step before.
  void find_waits(Ops& before, Ops& steps, Ops& after) const {
    for (int round = 0; round < 3; ++round) {
      std::vector<Touched> in_block, in_team;
      const auto go = [&](Ops& ops) {
        for (TeamOp<T>& op : ops) {
          const std::vector<Touched> next = touched(op);
          for (const Touched& a : next) {
            for (const Touched& b : in_team)
              if (meet(a, b) && (a.shared || b.shared) && !parts_of_one(a, b)) op.wait = team_waits;
            for (const Touched& b : in_block)
              if (meet(a, b) && op.wait == team_goes_on) op.wait = team_waits_in_block;
          }
          if (op.wait != team_goes_on) in_block.clear();
          if (op.wait == team_waits) in_team.clear();
          in_block.insert(in_block.end(), next.begin(), next.end());
          in_team.insert(in_team.end(), next.begin(), next.end());
        }
      };
      go(before), go(steps), go(steps), go(after);
    }
  }
  // All blocks load a row that one of them stores later in the same step. What each has fetched, a step ahead, has to
  // have come before the team waits the last time, which whoever stores has then done; or at the beginning of the step.
  void find_landing(Ops& steps) const {
    for (size_t i = steps.size(); i-- > 0 && steps[i].kind != team_load;)
      if (steps[i].wait == team_waits) {
        steps[i].landing = true;
        return;
      }
    const auto loads = [](const TeamOp<T>& op) { return op.kind == team_load; };
    if (std::none_of(steps.begin(), steps.end(), loads)) return;
    steps.front().landing = true, steps.front().wait = team_waits;
  }
  // Ops side by side share out the warps.
  void share_warps(Ops& steps) const {
    constexpr int kWarps = kTeamThreads / 32;
    for (size_t begin = 0, end; begin < steps.size(); begin = end) {
      double all = 0, before = 0;
      for (end = begin; end < steps.size() && (end == begin || steps[end].wait == team_goes_on); ++end)
        all += work(steps[end]).first;
      for (size_t i = begin; i < end; ++i) {
        const auto [mine, most] = work(steps[i]);
        const int count = std::clamp(static_cast<int>(std::ceil(kWarps * mine / all)), 1, most);
        const int first = std::min(static_cast<int>(kWarps * before / all), kWarps - count);
        steps[i].share = {static_cast<int16_t>(first), static_cast<int16_t>(count)};
        before += mine;
      }
    }
  }

 private:
  struct Touched {
    int32_t first, last;
    bool writes, shared, own;  // shared: each block writes a part of it for all; own: for itself
  };
  std::vector<Touched> touched(const TeamOp<T>& op) const {
    std::vector<Touched> all;
    const auto add = [&](const Strip& s, int32_t count, bool writes) {
      if (count <= 0) return;
      const int32_t end = s.first + (count - 1) * s.step;
      const bool part = writes && op.split;
      all.push_back({std::min(s.first, end), std::max(s.first, end), writes, part && !op.own, part && op.own});
    };
    const bool dense = op.kind == team_dense;
    if (op.kind == team_load || op.kind == team_clear || op.kind == team_store || op.kind == team_move) {
      add(op.x, op.count, op.kind != team_store);
      if (op.kind == team_move) add(op.y, op.count, false);
      return all;
    }
    if (op.kind != team_lowpass) add(op.y, dense ? op.m : op.count, !back_);
    if (op.bias.buffer >= 0) add(op.bias, op.m, false);
    add(op.x, dense ? op.n : op.count, back_);
    for (int k = 0; k < (op.kind == team_lowpass ? 1 : op.states); ++k) {
      const Strip& old = op.old[k];
      add(old, op.count, true), add({op.now[k], old.step, -1}, op.count, true);
      if (back_ && op.kind == team_neurons) add({op.value[k], old.step, -1}, op.count, false);
    }
    if (back_ && op.kind == team_neurons) add({op.J, op.x.step, -1}, op.count, false);
    return all;
  }
  static bool meet(const Touched& a, const Touched& b) {
    return (a.writes || b.writes) && a.first <= b.last && b.first <= a.last;
  }
  // Whether blocks write each its part of the same elements.
  static bool parts_of_one(const Touched& a, const Touched& b) {
    return (a.own || b.own) && (a.own || a.shared) && (b.own || b.shared) && a.first == b.first && a.last == b.last;
  }
  // What an op writes, if it is one strip that may be shared out; its elements are as many as *count.
  const Strip* written(const TeamOp<T>& op, int32_t* count) const {
    const bool dense = op.kind == team_dense;
    if (!dense && op.kind != team_copy && op.kind != team_load) return nullptr;
    *count = !dense ? op.count : back_ ? op.n : op.m;
    return back_ || op.kind == team_load ? &op.x : &op.y;
  }
  // The op that is the next in this step to touch what `op` writes, if it writes just that, and doesn't read it.
  TeamOp<T>* next_for(Ops& steps, const TeamOp<T>& op) const {
    int32_t count = 0, next_count = 0;
    const Strip* const mine = written(op, &count);
    if (!mine || count < kShared) return nullptr;
    const int32_t end = mine->first + (count - 1) * mine->step;
    const Touched whole{std::min(mine->first, end), std::max(mine->first, end), true, false, false};
    for (size_t i = static_cast<size_t>(&op - steps.data()) + 1; i < steps.size(); ++i) {
      int met = 0;
      for (const Touched& t : touched(steps[i])) met += meet(whole, t);
      if (met == 0) continue;
      const Strip* const theirs = written(steps[i], &next_count);
      const bool same = theirs && theirs->first == mine->first && theirs->step == mine->step && next_count == count;
      return same && met == 1 ? &steps[i] : nullptr;
    }
    return nullptr;
  }
  // Roughly the instructions of an op, for four items in a team of four blocks, and how many warps can share them.
  std::pair<double, int> work(const TeamOp<T>& op) const {
    const double part = op.split ? 0.25 : 1;
    if (op.kind == team_dense && back_) {
      const double warps = std::ceil(part * op.n * 2 / 32);
      return {warps * (60 + 4.5 * op.m), static_cast<int>(std::min(16.0, warps))};
    }
    if (op.kind == team_dense) {
      const double groups = std::ceil(part * op.m / 4);
      return {60 + groups * (80 + op.n * 0.8), static_cast<int>(std::min(16.0, groups))};
    }
    const double warps = std::ceil(op.count * (op.kind == team_store ? 1 : 4) / 32.0);
    const double each = op.kind == team_neurons ? 80 : op.kind == team_load ? 40 : 20;
    return {60 + warps * each, static_cast<int>(std::min(16.0, warps))};
  }

  const bool back_;
};

template <class T>
void order_team(std::vector<TeamOp<T>>& before, std::vector<TeamOp<T>>& steps, std::vector<TeamOp<T>>& after,
                bool back) {
  const TeamOrder<T> order(back);
  order.order(steps);
  order.find_own(steps);
  order.find_waits(before, steps, after);
  order.find_landing(steps);
  order.share_warps(steps);
  for (auto* part : {&before, &steps, &after})
    for (TeamOp<T>& op : *part)
      if (op.count > 1) op.magic = static_cast<uint32_t>(((uint64_t{1} << 32) + op.count - 1) / op.count);
}

}  // namespace cuda
}  // namespace nengo_dl
