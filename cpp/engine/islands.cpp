#include "engine/islands.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "engine/kind.h"
#include "engine/sets.h"
#include "engine/slice.h"

namespace nengo_dl {
namespace {

constexpr int64_t kMostAtoms = int64_t{1} << 16;  // of an op; wider ones are cut into several lanes at a time
// A block that is cut into rows makes about so many atoms, of no more rows than a vector has.
constexpr int64_t kAtomsOfRows = 16, kMostRows = 16;
constexpr double kEven = 1.2;  // the longest share against an even one: worth a stretch

struct Span {  // elements of a buffer, both included, and the number of the atom that touches them
  int64_t first, last;
  int32_t atom;
};

// The smallest thing that a worker can be given: some lanes or rows of a block, or all blocks of an op that can't be
// divided.
struct Atom {
  int32_t op;
  int64_t block, first, count;  // of lanes or rows
  int64_t blocks;
};

// Which ops are cut into rows: in sequences those that make more than they read, since all workers read all of that.
enum class Rows { none, growing, all };

bool grows(const Program& program, const OpRecord& op) {
  const std::vector<std::string>& cut = find_kind(op.kind).rows;
  int64_t shared = 0;  // elements that all rows read, but for parameters, which nobody has to fetch from others
  for (const auto& [name, o] : op.args)
    if (program.buffers[o.buffer].kind != BufferKind::param && std::find(cut.begin(), cut.end(), name) == cut.end())
      shared += o.count();
  return !cut.empty() && shared < op.arg(cut[0]).count();
}

// Into what an op's blocks are cut.
struct Cut {
  bool divides, by_rows;
  int64_t pieces;  // lanes or rows of a block

  Cut(const Program& program, const OpRecord& op, Rows which)
      : divides(nengo_dl::divides(op)), by_rows(false), pieces(divides ? part_count(op) / op.blocks : 1) {
    if (which == Rows::none || pieces > 1 || has_many_blocks(op) || rows(op) == 1) return;
    if (which == Rows::all || grows(program, op)) divides = by_rows = true, pieces = rows(op);
  }
  // `most`: atoms of a block.
  int64_t pieces_of_atom(int64_t blocks, int64_t most) const {
    const int64_t fewest =
        by_rows ? std::clamp(pieces / kAtomsOfRows, kFewestRows, kMostRows) : std::max<int64_t>(1, pieces / most);
    return std::max(fewest, (pieces * blocks + kMostAtoms - 1) / kMostAtoms);
  }
};

double work_of(const OpRecord& op) {  // of one block
  double work = 0;
  for (const auto& entry : op.args) work += static_cast<double>(entry.second.count());
  return std::max(work, 1.0);
}

// The ops first .. first+count-1 of a region, cut into atoms and joined into islands.
class Islands {
 public:
  Islands(const Program& program, const Region& region, size_t first, size_t count, Rows which,
          int64_t most = kEnoughPieces)
      : program_(program), region_(region), first_(first), count_(count) {
    for (size_t i = first; i < first + count; ++i) {
      cuts_.emplace_back(program, region.ops[i], which);
      add_atoms(static_cast<int32_t>(i), most);
    }
    join_all();
  }

  // How much each of so many workers would have to do; without their shares.
  Stretch weigh(int workers) {
    std::vector<double> work(atoms_.size(), 0);
    Stretch stretch;
    stretch.first = first_, stretch.count = count_;
    for (size_t a = 0; a < atoms_.size(); ++a) {
      const OpRecord& op = region_.ops[atoms_[a].op];
      const double part =
          work_of(op) * static_cast<double>(atoms_[a].blocks * atoms_[a].count) / cut(atoms_[a].op).pieces;
      work[sets_.find(static_cast<int64_t>(a))] += part;
      stretch.work += part;
    }
    // islands in the order of their first atoms, so that neighbours stay together
    worker_.assign(atoms_.size(), 0);
    std::vector<double> load(workers, 0);
    double before = 0;
    for (size_t a = 0; a < atoms_.size(); ++a) {
      if (work[a] == 0) continue;
      const double middle = (before + work[a] / 2) / stretch.work * workers;
      worker_[a] = std::min(workers - 1, static_cast<int>(middle));
      load[worker_[a]] += work[a], before += work[a];
    }
    stretch.longest = *std::max_element(load.begin(), load.end());
    for (size_t a = 0; a < atoms_.size(); ++a) worker_[a] = worker_[sets_.find(static_cast<int64_t>(a))];
    return stretch;
  }
  int count() {  // of islands
    int n = 0;
    for (size_t a = 0; a < atoms_.size(); ++a) n += sets_.find(static_cast<int64_t>(a)) == static_cast<int64_t>(a);
    return n;
  }
  Stretch divide(int workers) {
    Stretch stretch = weigh(workers);
    stretch.shares = shares(workers);
    return stretch;
  }

 private:
  void add_atoms(int32_t i, int64_t most) {
    const OpRecord& op = region_.ops[i];
    if (!cut(i).divides) {
      atoms_.push_back({i, 0, 0, 1, op.blocks});
      return;
    }
    const int64_t n = cut(i).pieces, together = cut(i).pieces_of_atom(op.blocks, most);
    for (int64_t block = 0; block < op.blocks; ++block)
      for (int64_t piece = 0, count; piece < n; piece += count) {
        count = n - piece < 2 * together ? n - piece : together;
        atoms_.push_back({i, block, piece, count, 1});
      }
  }

  // What is written first, so that what is only read by several never joins them.
  void join_all() {
    sets_ = Sets(atoms_.size());
    std::vector<std::vector<Span>> written(program_.buffers.size()), read(program_.buffers.size());
    int32_t drawing = -1;
    for (size_t a = 0; a < atoms_.size(); ++a) {
      const OpRecord& op = region_.ops[atoms_[a].op];
      const Kind& kind = find_kind(op.kind);
      for (const auto& [name, o] : op.args) {
        auto& spans = kind.find_arg(name)->access == Access::read ? read : written;
        for (int64_t k = 0; k < atoms_[a].blocks; ++k)
          spans[o.buffer].push_back(span(o, cuts_through(kind, name, atoms_[a].op), k, static_cast<int32_t>(a)));
      }
      if (cut(atoms_[a].op).divides) continue;
      if (drawing >= 0) sets_.join(drawing, static_cast<int64_t>(a));  // a program may let two share a generator
      drawing = static_cast<int32_t>(a);
    }
    for (size_t b = 0; b < written.size(); ++b)
      if (!written[b].empty()) join(written[b], read[b]);
  }

  // Whether an argument of an op is cut with it.
  bool cuts_through(const Kind& kind, const std::string& name, int32_t op) const {
    if (cut(op).pieces == 1) return false;
    return !cut(op).by_rows || std::find(kind.rows.begin(), kind.rows.end(), name) != kind.rows.end();
  }

  Span span(const Operand& o, bool is_cut, int64_t k, int32_t number) const {
    const Atom& atom = atoms_[number];
    int64_t lowest = 0, highest = 0;
    for (size_t d = 0; d < o.shape.size(); ++d) {
      const bool piece = is_cut && d == 0;
      const int64_t from = piece ? atom.first : 0, to = piece ? atom.first + atom.count - 1 : o.shape[d] - 1;
      lowest += std::min(from * o.strides[d], to * o.strides[d]);
      highest += std::max(from * o.strides[d], to * o.strides[d]);
    }
    return {o.offsets[atom.block + k] + lowest, o.offsets[atom.block + k] + highest, number};
  }

  void join(std::vector<Span>& written, const std::vector<Span>& read) {
    std::sort(written.begin(), written.end(), [](const Span& a, const Span& b) { return a.first < b.first; });
    std::vector<Span> apart;
    for (const Span& w : written) {
      if (apart.empty() || apart.back().last < w.first) {
        apart.push_back(w);
        continue;
      }
      sets_.join(apart.back().atom, w.atom);
      apart.back().last = std::max(apart.back().last, w.last);
    }
    Sets together(apart.size() + 1);  // neighbours that one reader has joined already go by the first of them
    std::vector<size_t> last(apart.size() + 1);
    std::iota(last.begin(), last.end(), 0);
    for (const Span& r : read) {
      auto it = std::lower_bound(apart.begin(), apart.end(), r.first,
                                 [](const Span& w, int64_t element) { return w.last < element; });
      const size_t start = static_cast<size_t>(it - apart.begin());
      for (size_t i = start; i < apart.size() && apart[i].first <= r.last;) {
        sets_.join(apart[i].atom, r.atom);
        const size_t end = last[together.find(static_cast<int64_t>(i))];
        if (i > start) {
          together.join(static_cast<int64_t>(start), static_cast<int64_t>(i));
          last[together.find(static_cast<int64_t>(start))] = end;
        }
        i = end + 1;
      }
    }
  }

  // The parts of each op that a worker gets, as records: blocks of which it has the same lanes are one.
  std::vector<std::vector<OpRecord>> shares(int workers) const {
    std::vector<std::vector<OpRecord>> result(workers);
    size_t a = 0;
    for (size_t i = first_; i < first_ + count_; ++i) {
      std::vector<std::map<std::pair<int64_t, int64_t>, std::vector<int64_t>>> parts(workers);
      while (a < atoms_.size() && atoms_[a].op == static_cast<int32_t>(i)) {
        const Atom& start = atoms_[a];
        const int to = worker_[a];
        if (!cut(start.op).divides) {
          result[to].push_back(region_.ops[i]);
          ++a;
          continue;
        }
        int64_t count = 0;
        for (; a < atoms_.size() && atoms_[a].op == start.op && atoms_[a].block == start.block && worker_[a] == to; ++a)
          count += atoms_[a].count;
        parts[to][{start.first, count}].push_back(start.block);
      }
      const Cut& how = cuts_[i - first_];
      for (int w = 0; w < workers; ++w)
        for (const auto& [range, blocks] : parts[w])
          result[w].push_back(slice(region_.ops[i], blocks, range.first,
                                    how.pieces > 1 ? range.second : lanes(region_.ops[i]), how.by_rows));
    }
    return result;
  }

  const Cut& cut(int32_t op) const { return cuts_[op - first_]; }

  const Program& program_;
  const Region& region_;
  size_t first_, count_;
  std::vector<Cut> cuts_;  // per op
  std::vector<Atom> atoms_;
  std::vector<int> worker_;  // per atom
  Sets sets_{0};             // an island goes by its first atom
};

bool is_even(const Stretch& s, int workers) { return s.longest * workers <= kEven * s.work; }

// What it writes it writes anew in every step, from what is there in that step.
bool may_go_by_steps(const Program& program, const OpRecord& op) {
  const Kind& kind = find_kind(op.kind);
  bool writes = false;
  if (op.has("rng")) return false;
  for (const auto& [name, o] : op.args) {
    const Access access = kind.find_arg(name)->access;
    const BufferKind where = program.buffers[o.buffer].kind;
    if (access == Access::read) continue;
    writes = true;
    if (access == Access::update || (where != BufferKind::window && where != BufferKind::carried)) return false;
    for (const auto& other : op.args)  // of the step before, perhaps
      if (where == BufferKind::carried && other.second.buffer == o.buffer && other.first != name) return false;
  }
  return writes;  // else it acts on what is outside
}

bool touches_carried(const Program& program, const OpRecord& op, const std::vector<char>& written) {
  for (const auto& entry : op.args)
    if (program.buffers[entry.second.buffer].kind == BufferKind::carried && written[entry.second.buffer]) return true;
  return false;
}

Stretch whole(const Region& region, size_t first, size_t count, int workers) {
  Stretch s;
  s.first = first, s.count = count;
  s.shares.resize(workers);
  for (size_t i = first; i < first + count; ++i) {
    s.work += work_of(region.ops[i]) * static_cast<double>(region.ops[i].blocks);
    s.shares[0].push_back(region.ops[i]);
  }
  s.longest = s.work;
  return s;
}

// Ops one after the other that may go by steps and can't be shared out otherwise.
Stretch by_steps(const Program& program, const Region& region, size_t first, int workers) {
  std::vector<char> written(program.buffers.size(), 0);
  size_t end = first;
  for (; end < region.ops.size(); ++end) {
    const OpRecord& op = region.ops[end];
    if (!may_go_by_steps(program, op) || touches_carried(program, op, written)) break;
    if (end > first && is_even(Islands(program, region, end, 1, Rows::growing).weigh(workers), workers)) break;
    for (const auto& entry : op.args) written[entry.second.buffer] = 1;
  }
  Stretch s = whole(region, first, end - first, workers);
  s.by_steps = true;
  s.longest = s.work / workers;
  return s;
}

// The longest run of ops from `first` on that can be divided evenly, as far as doubling and halving its length finds.
Stretch longest_even(const Program& program, const Region& region, size_t first, int workers, Rows which) {
  const size_t most = region.ops.size() - first;
  size_t good = 0, bad = most + 1;
  for (size_t n = 1; good + 1 < bad; n = bad > most ? std::min(most, 2 * good) : (good + bad) / 2) {
    const bool even = is_even(Islands(program, region, first, n, which).weigh(workers), workers);
    (even ? good : bad) = n;
    if (good == most) break;
  }
  return good ? Islands(program, region, first, good, which).divide(workers) : Stretch();
}

// What all workers do at once, one after the other.
std::vector<Stretch> stretches(const Program& program, const Region& region, int workers, Rows which) {
  const size_t ops = region.ops.size();
  const bool loop = region.kind == RegionKind::loop;
  std::vector<Stretch> result;
  for (size_t first = 0, alone = 0; first < ops; first = result.back().first + result.back().count) {
    Stretch s = longest_even(program, region, first, workers, which);
    if (s.count == 0 && !loop && may_go_by_steps(program, region.ops[first]))
      s = by_steps(program, region, first, workers);
    alone = s.count ? 0 : alone + 1;
    if (alone > 1) result.pop_back();  // what the first worker does alone goes on
    result.push_back(alone ? whole(region, first + 1 - alone, alone, workers) : std::move(s));
  }
  return result;
}

// Of a loop. Between stretches all workers wait for each other, in every step.
std::vector<Stretch> in_turn(const Program& program, const Region& region, int workers, const Tiling& tiling) {
  constexpr double kClearly = 0.9;
  std::vector<Stretch> best = {whole(region, 0, region.ops.size(), workers)};
  double least = best[0].longest;
  for (const Rows which : {Rows::none, Rows::all}) {
    std::vector<Stretch> some = stretches(program, region, workers, which);
    double work = 0, longest = 0;
    for (const Stretch& s : some) work += s.work, longest += s.longest;
    const bool pays = tiling.divides(work, longest, kShortWait * static_cast<double>(some.size()));
    if (pays && longest < kClearly * least) best = std::move(some), least = longest;
  }
  return best;
}

}  // namespace

std::vector<std::vector<OpRecord>> share_islands(const Program& program, const Region& region, int most) {
  Islands islands(program, region, 0, region.ops.size(), Rows::none, INT64_MAX);
  std::vector<std::vector<OpRecord>> result = islands.divide(std::min(most, islands.count())).shares;
  result.erase(std::remove_if(result.begin(), result.end(), [](const auto& share) { return share.empty(); }),
               result.end());
  return result;
}

std::vector<Stretch> divide(const Program& program, const Region& region, int workers, const Tiling& tiling) {
  if (region.kind == RegionKind::sequence) return stretches(program, region, workers, Rows::growing);
  Stretch s = Islands(program, region, 0, region.ops.size(), Rows::none).divide(workers);
  if (is_even(s, workers)) return {std::move(s)};
  return in_turn(program, region, workers, tiling);
}

}  // namespace nengo_dl
