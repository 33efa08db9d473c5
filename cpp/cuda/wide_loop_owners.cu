#include "cuda/wide_loop_owners.h"

#include <algorithm>

namespace nengo_dl {
namespace cuda {
namespace {

constexpr int64_t kMany = -2;                           // ops
constexpr int64_t kFewSpikes = 64, kMostSpikes = 4096;  // numbers that go round as bits
constexpr int32_t kWordBits = 32, kMostParts = 4;

double amplitude(const WidePart& neurons) {
  return neurons.op->has("amplitude") ? neurons.op->per_block("amplitude")[neurons.block] : 1.0;
}

}  // namespace

WideOwners::WideOwners(const std::vector<WidePart>& parts, const Program& program, int64_t blocks, bool together)
    : parts_(parts), program_(program), blocks_(blocks), together_(together) {
  int64_t next = 0;
  for (const Buffer& b : program.buffers) start_.push_back(next), next += b.size;
  written_.assign(next, -1), owner_.assign(next, -1), neurons_.assign(next, nullptr);
  for (const WidePart& p : parts) {
    for (int s = 0; s < p.outs; ++s)
      for (int64_t e : p.args[s].at) {
        int64_t& by = written_[id(p.args[s], e)];
        by = by == -1 || by == int64_t(p.number) ? int64_t(p.number) : kMany;
      }
  }
  for (const WidePart& p : parts)
    if (p.kind == Wide::neurons)
      for (int64_t e : p.args[0].at) neurons_[id(p.args[0], e)] = &p;
  share_out();
}

bool WideOwners::spikes(const WidePart& reader) const {
  const auto size = static_cast<int64_t>(reader.x.at.size());
  const WidePart* const by = neurons_[id(reader.x, reader.x.at[0])];
  if (!by || by->number >= reader.number || size < kFewSpikes || size > kMostSpikes) return false;
  for (int64_t e : reader.x.at) {
    const int64_t at = id(reader.x, e);
    if (written_[at] != int64_t(by->number) || amplitude(*neurons_[at]) != amplitude(*by)) return false;
  }
  const std::string type = by->op->text("type");
  return type == "LIF" || type == "AdaptiveLIF" || type == "CubaLIF" || type == "Izhikevich";
}

double WideOwners::height(const WidePart& reader) const {
  return amplitude(*neurons_[id(reader.x, reader.x.at[0])]) / program_.dt;
}

bool WideOwners::one_owner(const WideArg& a) const {
  return std::all_of(a.at.begin(), a.at.end(), [&](int64_t e) { return owner(id(a, e)) == owner(id(a, a.at[0])); });
}

WideExchange WideOwners::exchange(const WidePart& p, int32_t words) const {
  WideExchange x{};
  x.n = static_cast<int32_t>(p.x.at.size()), x.parts = 1;
  x.whole = together_, x.bits = spikes(p) && (!together_ || one_owner(p.x));
  if (together_)
    while ((x.rounds() + x.parts - 1) / x.parts > kWordBits) x.parts *= 2;
  else
    while (x.parts < kMostParts && 2 * x.parts * kWideLanes <= blocks_) x.parts *= 2;
  x.deep = (x.rounds() + x.parts - 1) / x.parts;
  x.bits = x.bits && x.deep <= kWordBits;  // of more neurons than words of that many blocks hold, numbers go round
  x.words = x.bits ? x.parts * kWideLanes : x.n * words;
  return x;
}

Sets WideOwners::joined() const {
  Sets sets(written_.size());
  for (const WidePart& p : parts_)
    for (int64_t i = 0; i < p.count(); ++i) {
      const int64_t to = id(p.args[0], p.args[0].at[i]);
      need_wide(inner(to));  // what another region has made is put out there
      const auto join = [&](int64_t with) {
        if (inner(with)) sets.join(to, with);
      };
      for (int s = 0; s < kWideA; ++s)
        if (p.args[s].there()) join(id(p.args[s], p.args[s].at[i]));
      if (!p.args[kWideA].there()) continue;
      for (size_t j = 0; j < p.x.at.size(); ++j) {
        const int64_t e = id(p.args[kWideA], p.args[kWideA].at[i] + static_cast<int64_t>(j) * p.a_step);
        need_wide(inner(e));
        join(e);
      }
    }
  if (together_) join_ensembles(sets);
  return sets;
}

// Neurons of a block of their op; and what encoders multiply, fewer numbers than there are neurons.
void WideOwners::join_ensembles(Sets& sets) const {
  std::vector<char> current(written_.size(), 0);  // whether it is some neuron's J
  for (const WidePart& p : parts_) {
    if (p.kind != Wide::neurons) continue;
    for (int64_t e : p.args[kWideIn].at) current[id(p.args[kWideIn], e)] = 1;
    for (int64_t e : p.args[0].at) sets.join(id(p.args[0], p.args[0].at[0]), id(p.args[0], e));
  }
  for (const WidePart& p : parts_) {
    const int64_t first = id(p.args[0], p.args[0].at[0]);
    if (p.kind != Wide::dense || !current[first] || static_cast<int64_t>(p.x.at.size()) >= p.count()) continue;
    for (int64_t e : p.x.at)
      if (inner(id(p.x, e))) sets.join(first, id(p.x, e));
  }
}

struct WideOwners::Shares {
  Sets sets;
  std::vector<int64_t> load, block, total;  // of each set; block: -1 before it has one; of each block

  void give(int64_t set, int64_t to) { block[set] = to, total[to] += load[set]; }
  int64_t lightest() const { return std::min_element(total.begin(), total.end()) - total.begin(); }
};

void WideOwners::share_out() {
  const auto none = std::vector<int64_t>(written_.size(), -1), zero = std::vector<int64_t>(written_.size(), 0);
  Shares shares{joined(), zero, none, {}};
  for (const WidePart& p : parts_)
    for (int64_t e : p.args[0].at)
      shares.load[shares.sets.find(id(p.args[0], e))] += 1 + int64_t(p.weights.at.size() ? p.x.at.size() : 0);
  together_ ? by_ensembles(&shares) : by_words(&shares);
  for (int64_t i = 0; i < count(); ++i) {
    if (!inner(i)) continue;
    const int64_t set = shares.sets.find(i);
    if (shares.block[set] < 0) shares.give(set, shares.lightest());
    owner_[i] = static_cast<int32_t>(shares.block[set]);
  }
}

// Neurons whose spikes go round as bits of a word are one block's.
void WideOwners::by_words(Shares* shares) {
  shares->total.assign(blocks_, 0);
  for (const WidePart& p : parts_) {
    if (p.kind < Wide::dense || !inner(id(p.x, p.x.at[0])) || !spikes(p)) continue;
    const WideExchange x = exchange(p, 1);
    for (int32_t i = 0; i < x.n; ++i) {
      const int64_t set = shares->sets.find(id(p.x, p.x.at[i]));
      if (shares->block[set] < 0) shares->give(set, x.word(i));
      need_wide(shares->block[set] == x.word(i));
    }
  }
}

// The largest first; then what only follows from those of one block, such as what is decoded for an output.
void WideOwners::by_ensembles(Shares* shares) {
  std::vector<int64_t> sets;
  for (const WidePart& p : parts_)
    if (p.kind == Wide::neurons) sets.push_back(shares->sets.find(id(p.args[0], p.args[0].at[0])));
  need_wide(!sets.empty());
  std::sort(sets.begin(), sets.end());
  sets.erase(std::unique(sets.begin(), sets.end()), sets.end());
  std::stable_sort(sets.begin(), sets.end(), [&](int64_t a, int64_t b) { return shares->load[a] > shares->load[b]; });
  blocks_ = std::min<int64_t>(blocks_, static_cast<int64_t>(sets.size()));
  shares->total.assign(blocks_, 0);
  for (int64_t set : sets) shares->give(set, shares->lightest());
  for (const WidePart& p : parts_) {
    if (p.kind < Wide::dense || !inner(id(p.x, p.x.at[0]))) continue;
    const int64_t block = shares->block[shares->sets.find(id(p.x, p.x.at[0]))];
    const bool one = block >= 0 && std::all_of(p.x.at.begin(), p.x.at.end(), [&](int64_t e) {
                       return inner(id(p.x, e)) && shares->block[shares->sets.find(id(p.x, e))] == block;
                     });
    for (int64_t e : p.args[0].at)
      if (const int64_t set = shares->sets.find(id(p.args[0], e)); one && shares->block[set] < 0)
        shares->give(set, block);
  }
}

}  // namespace cuda
}  // namespace nengo_dl
