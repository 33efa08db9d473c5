#include "engine/division.h"

#include <algorithm>

#include "engine/islands.h"

namespace nengo_dl {

template <class T>
Division<T>::Division(const Schedule<T>& schedule, int workers) {
  const Facts& facts = schedule.facts;
  const Program& program = facts.program;
  Program part = program;
  part.regions.clear();
  std::vector<Program> shares(workers, part);
  std::vector<std::vector<Unit>> lives;  // per region: stretches
  for (size_t r = 0; r < program.regions.size(); ++r) {
    const Region& region = program.regions[r];
    lives.emplace_back();
    const size_t before = stretches.size();
    for (auto& stretch : divide(program, region, workers, schedule.tiling())) {
      lives.back().push_back({stretch.first, stretch.count});
      const std::string how = stretch.by_steps ? "steps" : stretch.longest < stretch.work ? "islands" : "alone";
      const DividedOps ops{static_cast<int64_t>(r), static_cast<int64_t>(stretch.first),
                           static_cast<int64_t>(stretch.count), how, stretch.longest / stretch.work};
      stretches.push_back({ops, region.kind == RegionKind::loop, stretch.by_steps, {}});
      work += stretch.work, longest += stretch.longest;
      for (int w = 0; w < workers; ++w) shares[w].regions.push_back({region.kind, std::move(stretch.shares[w])});
    }
    if (region.kind == RegionKind::loop)
      parts.push_back({before, stretches.size() - before});
    else
      for (size_t s = before; s < stretches.size(); ++s) parts.push_back({s, 1});
  }
  for (Program& p : shares) add_worker(schedule, std::move(p));
  sharing_ = std::make_unique<Sharing>(facts, lives);
}

template <class T>
double Division<T>::waits(int64_t steps) const {
  double sum = 1;
  for (const Part& part : parts)
    sum += part.count > 1 ? kShortWait * static_cast<double>(part.count) * static_cast<double>(steps) : 1;
  return sum;
}

template <class T>
void Division<T>::add_worker(const Schedule<T>& schedule, Program part) {
  const Program& p = programs_.emplace_back(std::move(part));
  Flow& flow = flows_.emplace_back(p);
  // a value that another worker reads is no inner one of a fused kernel
  for (size_t b = 0; b < flow.uses.size(); ++b) flow.uses[b] = std::max(flow.uses[b], schedule.facts.flow.uses[b]);
  for (size_t r = 0; r < p.regions.size(); ++r) {
    Kernels& share = stretches[r].shares.emplace_back();
    for (const Unit& unit : find_units(schedule.fusions(), p, flow, r)) {
      if (unit.fusion)
        kernels_.push_back(unit.fusion->template make<T>()(Chain(p, flow, r, unit.first), unit.match));
      else
        kernels_.push_back(schedule.make_kernel(*flow.stages[r][unit.first].compiled, p));
      share.push_back(kernels_.back().get());
    }
  }
}

template struct Division<float>;
template struct Division<double>;

}  // namespace nengo_dl
