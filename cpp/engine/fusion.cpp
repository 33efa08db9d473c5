#include "engine/fusion.h"

namespace nengo_dl {

std::vector<Unit> find_units(const std::vector<Fusion>& fusions, const Program& program, const Flow& flow,
                             size_t region) {
  std::vector<Unit> units;
  for (size_t i = 0; i < flow.stages[region].size(); i += units.back().count) {
    Unit unit{i, 1};
    for (const Fusion& fusion : fusions) {
      Match match = fusion.match(Chain(program, flow, region, i));
      if (match.count > (unit.fusion ? unit.count : 0)) unit = {i, match.count, &fusion, std::move(match)};
    }
    units.push_back(std::move(unit));
  }
  return units;
}

}  // namespace nengo_dl
