#include "engine/schedule.h"

#include <algorithm>

namespace nengo_dl {

template <class T>
Schedule<T>::Schedule(const Facts& facts, const Backend& backend, bool fuse)
    : facts(facts), backend(backend), fuse(fuse), inner(facts.program.buffers.size(), 0) {
  for (size_t r = 0; r < facts.flow.stages.size(); ++r) {
    stages.emplace_back();
    stages.back().loop = facts.program.regions[r].kind == RegionKind::loop;
    for (const FlowOp& op : facts.flow.stages[r]) stages.back().ops.push_back(make_kernel(*op.compiled, facts.program));
    for (const auto& op : stages.back().ops) room = std::max(room, op->room());
    add_units(r);
    add_whole(r);
  }
}

template <class T>
void Schedule<T>::add_whole(size_t region) {
  Stage<T>& stage = stages[region];
  std::vector<LoopOp> ops;
  for (const FlowOp& op : facts.flow.stages[region]) {
    ops.push_back({op.compiled});
    stage.has_outputs = stage.has_outputs || op.output >= 0;
  }
  if (stage.loop && fuse) stage.whole = make_loop(ops);
}

template <class T>
const std::vector<Fusion>& Schedule<T>::fusions() const {
  static const std::vector<Fusion> none;
  return fuse ? backend.fusions() : none;
}

template <class T>
void Schedule<T>::add_units(size_t region) {
  Stage<T>& stage = stages[region];
  units.push_back(find_units(fusions(), facts.program, facts.flow, region));
  for (const Unit& unit : units.back()) {
    if (unit.fusion) {
      const Chain chain(facts.program, facts.flow, region, unit.first);
      stage.fused.push_back(unit.fusion->template make<T>()(chain, unit.match));
      for (int64_t b : unit.match.inner) inner[b] = 1;
    }
    stage.forward.push_back(unit.fusion ? stage.fused.back().get() : stage.ops[unit.first].get());
  }
}

template struct Schedule<float>;
template struct Schedule<double>;

}  // namespace nengo_dl
