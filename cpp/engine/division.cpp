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
  stored_.assign(program.buffers.size(), 0), inner.assign(program.buffers.size(), 0);
  for (Program& p : shares) add_worker(schedule, std::move(p));
  for (size_t b = 0; b < inner.size(); ++b) inner[b] = inner[b] && !stored_[b];
  find_own(program);
  sharing_ = std::make_unique<Sharing>(facts, lives);
}

template <class T>
void Division<T>::find_own(const Program& program) {
  std::vector<Intervals> before(program.buffers.size());  // what the workers before touch
  own.clear();
  for (const Buffer& b : program.buffers) own.push_back(b.kind == BufferKind::window || b.kind == BufferKind::local);
  for (const Program& share : programs_) {
    std::vector<Intervals> touched(program.buffers.size());
    for (size_t s = 0; s < stretches.size(); ++s)
      for (const OpRecord& op : share.regions[s].ops)
        for (const auto& [name, o] : op.args)
          if (stretches[s].by_steps)
            own[o.buffer] = 0;
          else if (own[o.buffer])
            touched[o.buffer].add(o);
    for (size_t b = 0; b < own.size(); ++b) {
      own[b] = own[b] && !touched[b].overlaps(before[b]);
      for (const auto& [first, last] : touched[b].all()) before[b].add(first, last);
    }
  }
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
    stretches[r].shares.emplace_back();
    for (const Unit& unit : find_units(schedule.fusions(), p, flow, r)) add_unit(schedule, p, flow, r, unit);
  }
}

template <class T>
void Division<T>::add_unit(const Schedule<T>& schedule, const Program& share, const Flow& flow, size_t region,
                           const Unit& unit) {
  if (unit.fusion)
    kernels_.push_back(unit.fusion->template make<T>()(Chain(share, flow, region, unit.first), unit.match));
  else
    kernels_.push_back(schedule.make_kernel(*flow.stages[region][unit.first].compiled, share));
  stretches[region].shares.back().push_back(kernels_.back().get());
  const std::vector<int64_t>& inside = unit.match.inner;
  for (int64_t b : inside) inner[b] = 1;
  for (size_t i = unit.first; i < unit.first + unit.count; ++i)
    for (const FlowOperand& o : flow.stages[region][i].operands)
      if (std::find(inside.begin(), inside.end(), o.operand->buffer) == inside.end()) stored_[o.operand->buffer] = 1;
}

template struct Division<float>;
template struct Division<double>;

}  // namespace nengo_dl
