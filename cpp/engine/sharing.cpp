#include "engine/sharing.h"

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <utility>

namespace nengo_dl {
namespace {

// From the first unit that names a buffer to the last: a kernel may write one value before it has read all of another.
// The units of a loop take turns, so a buffer that one of them names lives as long as the loop.
struct Life {
  int64_t first = -1, last = -1;
};

std::vector<Life> find_lives(const Facts& facts, const std::vector<std::vector<Unit>>& units) {
  std::vector<Life> lives(facts.program.buffers.size());
  int64_t now = 0;
  for (size_t r = 0; r < units.size(); ++r) {
    const bool loop = facts.program.regions[r].kind == RegionKind::loop;
    for (const Unit& unit : units[r]) {
      for (size_t i = unit.first; i < unit.first + unit.count; ++i)
        for (const FlowOperand& o : facts.flow.stages[r][i].operands) {
          Life& life = lives[o.operand->buffer];
          if (life.first < 0) life.first = now;
          life.last = now;
        }
      if (!loop) ++now;
    }
    if (loop) ++now;
  }
  return lives;
}

}  // namespace

// In the order in which they begin to live, buffers move into places that have become free: the smallest that is large
// enough, else the largest, which grows.
Sharing::Sharing(const Facts& facts, const std::vector<std::vector<Unit>>& units)
    : place(facts.program.buffers.size(), -1) {
  const Program& program = facts.program;
  const std::vector<Life> lives = find_lives(facts, units);
  std::vector<size_t> order;
  for (size_t i = 0; i < place.size(); ++i)
    if (program.buffers[i].kind == BufferKind::window && lives[i].first >= 0 && !facts.unwritten[i]) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return lives[a].first < lives[b].first; });
  using Taken = std::pair<int64_t, int64_t>;  // last op, place
  std::priority_queue<Taken, std::vector<Taken>, std::greater<>> taken;
  std::multimap<int64_t, int64_t> free;  // size -> place
  for (size_t i : order) {
    for (; !taken.empty() && taken.top().first < lives[i].first; taken.pop())
      free.emplace(sizes[taken.top().second], taken.top().second);
    const int64_t size = program.buffers[i].size;
    if (free.empty()) {
      place[i] = static_cast<int64_t>(sizes.size());
      sizes.push_back(size);
    } else {
      auto best = free.lower_bound(size);
      if (best == free.end()) --best;
      place[i] = best->second;
      sizes[place[i]] = std::max(sizes[place[i]], size);
      free.erase(best);
    }
    taken.emplace(lives[i].last, place[i]);
  }
}

std::vector<int64_t> Sharing::sizes_of(const Program& program, const std::vector<char>& elsewhere) const {
  std::vector<int64_t> result(sizes.size(), 0);
  for (size_t i = 0; i < place.size(); ++i)
    if (place[i] >= 0 && !elsewhere[i]) result[place[i]] = std::max(result[place[i]], program.buffers[i].size);
  return result;
}

int64_t Sharing::row_size(const Program& program, const std::vector<char>& elsewhere) const {
  int64_t sum = 0;  // at most 2^40, as the reader checks
  for (size_t i = 0; i < place.size(); ++i) {
    const Buffer& b = program.buffers[i];
    const bool alone = b.kind == BufferKind::carried || (b.kind == BufferKind::window && place[i] < 0);
    if (alone && !elsewhere[i]) sum += b.size;
  }
  for (int64_t size : sizes_of(program, elsewhere)) sum += size;
  return sum;
}

}  // namespace nengo_dl
