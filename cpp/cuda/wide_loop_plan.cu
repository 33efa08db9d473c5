// What each block of a loop does in a step, with its elements in cells of its own memory.
#include <algorithm>
#include <map>
#include <set>

#include "cuda/dense.h"
#include "cuda/wide_loop_barriers.h"
#include "cuda/wide_loop_owners.h"
#include "cuda/wide_loop_rows.h"

namespace nengo_dl {
namespace cuda {
namespace {

constexpr size_t kMostOps = 64;          // of a block
constexpr int64_t kMostFixed = 1 << 26;  // numbers of a block, more than any has room for
constexpr size_t kMostExchanges = 8192;

template <class T>
class Planner {
 public:
  Planner(const std::vector<LoopOp>& ops, const Program& program, Tables& tables, int64_t blocks, bool together)
      : program_(program),
        parts_(wide_parts(ops, program)),
        owners_(parts_, program, blocks, together),
        of_blocks_(owners_.blocks()) {
    now_.assign(owners_.count(), 0), cell_.assign(owners_.count(), -1), flip_.assign(owners_.count(), 0);
    for (const WidePart& p : parts_)
      if (p.kind == Wide::neurons && !models_.count(p.number)) {
        const NeuronsOp<T> made(*p.op, program, tables);
        need_wide(!made.draws);
        models_.emplace(p.number, std::make_pair(made, NeuronsOp<T>::model_numbers(*p.op)));
      }
    make_cells();
    for (size_t i = 0, next; i < parts_.size(); i = next) {
      for (next = i; next < parts_.size() && parts_[next].number == parts_[i].number;) ++next;
      exchange(i, next);
      for (size_t k = i; k < next; ++k) emit(parts_[k]);
    }
    finish();
    plan.good = together || !known_.empty();
  }
  WidePlan<T> plan;

 private:
  // What a block has and does.
  struct Block {
    int32_t item = 0, fixed = 0, bits = 0;  // elements of an item, of all; integers of an item
    size_t number = SIZE_MAX;               // of the op that the last one is a part of
    std::vector<WideOp<T>> ops;
    std::vector<WideFetch> fetches;
    std::vector<WideLoad> loads;
    std::vector<WideWeights> weights;
    std::vector<WideEntry> entries;
    std::vector<int32_t> integers;
    std::vector<WideExchange> exchanges;
    std::map<int32_t, int32_t> heard;  // by number of the exchange: where it is among them
  };
  // What a product reads.
  struct Source {
    int32_t told = -1;  // as bits
    Near x;
    bool own = false;  // cells of the block
  };

  int64_t id(const WideArg& a, int64_t e) const { return owners_.id(a, e); }
  bool inner(const WideArg& a, int64_t e) const { return owners_.inner(id(a, e)); }
  BufferKind kind(const WideArg& a) const { return owners_.kind(a); }
  void make_cells() {
    for (size_t b = 0; b < program_.buffers.size(); ++b) {
      const BufferKind kind = program_.buffers[b].kind;
      const int64_t start = owners_.start(b);
      std::map<int32_t, std::vector<int64_t>> of;
      for (int64_t e = 0; e < program_.buffers[b].size; ++e)
        if (owners_.inner(start + e)) of[owners_.owner(start + e)].push_back(e);
      for (const auto& [k, elements] : of) {
        Block& block = of_blocks_[k];
        const auto count = static_cast<int32_t>(elements.size());
        const int32_t flip = kind == BufferKind::carried ? count : 0;
        for (int32_t i = 0; i < count; ++i)
          cell_[start + elements[i]] = block.item + i, flip_[start + elements[i]] = flip;
        if (kind == BufferKind::carried || in_place(kind)) add_loads(block, static_cast<int32_t>(b), elements, flip);
        block.item += count + flip;
      }
    }
  }
  void add_loads(Block& block, int32_t buffer, const std::vector<int64_t>& at, int32_t flip) {
    for (size_t i = 0, next; i < at.size(); i = next) {
      const int64_t step = i + 1 < at.size() ? at[i + 1] - at[i] : 0;
      for (next = i + 1; next < at.size() && at[next] - at[next - 1] == step;) ++next;
      block.loads.push_back({{buffer, 0, at[i], step},
                             static_cast<int32_t>(next - i),
                             {block.item + static_cast<int32_t>(i), 1, flip, 0},
                             in_place(program_.buffers[buffer].kind)});
    }
  }

  // Element i of an argument. `old`: what was there before, whoever writes it in this step; `adds`: to that.
  WideSpot spot(const WideArg& a, int64_t i, bool old, bool adds) const {
    const int64_t e = a.at[i], at = id(a, e);
    if (!owners_.inner(at)) return {true, 0, e, 0};
    if (!old && !now_[at] && !in_place(kind(a)) && !(kind(a) == BufferKind::carried && a.shift == 0)) {
      need_wide(adds && kind(a) == BufferKind::window);  // to what another region has made
      return {true, 0, e, 0};
    }
    need_wide(!(adds && kind(a) == BufferKind::carried));
    return {false, cell_[at], e, flip_[at]};
  }
  Near near(Block& block, const WideArg& a, const WideRow& row, size_t count) {
    const auto shift = static_cast<int32_t>(a.shift);
    if (row.first.far)
      return fetched(block, {static_cast<int32_t>(a.buffer), shift, row.first.element, row.step.element},
                     static_cast<int32_t>(count));
    return {int32_t(row.first.cell), int32_t(row.step.cell), int32_t(row.first.flip), row.first.flip ? shift : 0};
  }
  Near fetched(Block& block, const Far& from, int32_t count) {
    if (from.step == 0) count = 1;
    const Near near{block.item, from.step ? 1 : 0, count, 0};
    block.fetches.push_back({from, count, block.item});
    block.item += 2 * count;
    return near;
  }

  void emit(const WidePart& p) {
    std::map<int32_t, std::vector<int64_t>> of;
    for (int64_t i = 0; i < p.count(); ++i) of[owners_.owner(id(p.args[0], p.args[0].at[i]))].push_back(i);
    for (const auto& [k, elements] : of) {
      Block& block = of_blocks_[k];
      const Source source = p.kind >= Wide::dense ? source_of(p, k) : Source{};
      for (size_t i = 0, next; i < elements.size(); i = next) next = run(p, block, elements, i, source);
      need_wide(block.ops.size() <= kMostOps);
    }
    for (int s = 0; s < p.outs; ++s)
      for (int64_t e : p.args[s].at) ++now_[id(p.args[s], e)];
  }

  // One op of elements from `first` on, as many as lie at regular distances.
  size_t run(const WidePart& p, Block& block, const std::vector<int64_t>& of, size_t first, const Source& source) {
    WideOp<T> op{};
    size_t count = of.size() - first;
    std::array<WideRow, kWideNear> rows;
    for (int s = 0; s < kWideNear; ++s) {
      if (!p.args[s].there() || (s == 0 && p.outs == 0)) continue;
      const bool adds = s == kWideOld && !p.set;
      count = rows[s].find(count, [&](size_t i) { return spot(p.args[s], of[first + i], s < kWideOuts, adds); });
    }
    if (p.kind == Wide::output) count = output(p, of, first, count, op);
    op.kind = p.kind, op.set = p.set, op.outs = p.outs, op.count = static_cast<int32_t>(count);
    for (int s = 0; s < kWideNear; ++s) {
      const WideArg& a = p.args[s];
      if (!a.there() || (s == 0 && p.outs == 0)) continue;
      if (s < p.outs)
        op.kept[s] = {static_cast<int32_t>(a.buffer), static_cast<int32_t>(a.shift), rows[s].first.element,
                      rows[s].step.element};
      op.near[s] = near(block, a, rows[s], count);
    }
    if (p.kind == Wide::lowpass) op.a = T(p.op->per_block("a")[p.block]), op.b = T(p.op->per_block("b")[p.block]);
    if (p.kind == Wide::outer) op.a = T(p.op->per_block("alpha")[p.block]);
    if (p.kind == Wide::neurons) {
      const auto& [neurons, which] = models_.at(p.number);
      op.type = neurons.type, op.model = neurons.models + which[p.block];
    }
    if (p.kind >= Wide::dense) product(p, block, of, first, source, op);
    if (block.number != p.number || !join(block.ops.back(), op)) block.ops.push_back(op);
    block.number = p.number;
    return first + count;
  }

  // Returns how many it takes.
  static size_t output(const WidePart& p, const std::vector<int64_t>& of, size_t first, size_t count, WideOp<T>& op) {
    op.exchange = static_cast<int32_t>(p.op->integer("index")), op.n = static_cast<int32_t>(p.count());
    op.place = static_cast<int32_t>(of[first]);
    op.place_step = count > 1 ? static_cast<int32_t>(of[first + 1] - of[first]) : 0;
    size_t taken = 1;
    while (taken < count && of[first + taken] == op.place + static_cast<int64_t>(taken) * op.place_step) ++taken;
    return taken;
  }

  // ---- products

  void product(const WidePart& p, Block& block, const std::vector<int64_t>& of, size_t first, const Source& source,
               WideOp<T>& op) {
    const auto n = static_cast<int32_t>(p.x.at.size());
    op.n = n, op.has_bias = p.args[kWideIn].there(), op.in_cells = p.args[kWideA].there();
    op.told = source.told, op.x = source.x, op.own = source.own;
    op.teams = n >= DenseOp<T>::kLong, op.weights = block.fixed;
    op.width = op.teams ? n : n | 1;  // threads with a row each: in different banks of memory
    if (op.told >= 0) {
      op.b = T(owners_.height(p));
      op.width = (block.exchanges[op.told].rounds() + 1) * kWideLanes;
      need_wide(!op.in_cells);
    }
    if (p.kind == Wide::sparse) return sparse(p, block, of, first, op);
    if (op.in_cells) {
      const int64_t from = id(p.args[kWideA], p.args[kWideA].at[of[first]]);
      op.a_step = n > 1 ? cell_[from + p.a_step] - cell_[from] : 0;
      for (int32_t i = 0; i < op.count; ++i)
        for (int64_t j = 0, row = id(p.args[kWideA], p.args[kWideA].at[of[first + i]]); j < n; ++j)
          need_wide(cell_[row + j * p.a_step] == cell_[row] + j * op.a_step);
      return;
    }
    const int64_t row = p.weights.at[of[first]], step = op.count > 1 ? p.weights.at[of[first + 1]] - row : 0;
    for (int32_t i = 0; i < op.count; ++i) need_wide(p.weights.at[of[first + i]] == row + i * step);
    need_wide(block.fixed + int64_t{op.count} * op.width <= kMostFixed);
    block.weights.push_back({{int32_t(p.weights.buffer), 0, row, step}, p.a_step, op.count, n, op.weights, op.width});
    block.fixed += op.count * op.width;
  }
  void sparse(const WidePart& p, Block& block, const std::vector<int64_t>& of, size_t first, WideOp<T>& op) {
    const std::vector<int64_t>&columns = p.op->integers("indices"), &starts = p.op->integers("indptr");
    const Operand& A = p.op->arg("A");
    op.teams = static_cast<int64_t>(columns.size()) >= 32 * (static_cast<int64_t>(starts.size()) - 1);
    std::vector<int32_t> codes, from{0};
    for (int32_t i = 0; i < op.count; ++i) {
      for (int64_t e = starts[of[first + i]]; e < starts[of[first + i] + 1]; ++e) {
        need_wide(block.fixed < kMostFixed);
        const auto c = static_cast<int32_t>(columns[e]);
        block.entries.push_back({A.offsets[0] + e * A.strides[0], int32_t(A.buffer), block.fixed++});
        const auto& known = block.exchanges;
        codes.push_back(op.told < 0 ? c : known[op.told].word(c) * 32 + known[op.told].bit(c));
      }
      from.push_back(static_cast<int32_t>(codes.size()));
    }
    auto& all = block.integers;
    op.starts = static_cast<int32_t>(all.size()), all.insert(all.end(), from.begin(), from.end());
    op.codes = static_cast<int32_t>(all.size()), all.insert(all.end(), codes.begin(), codes.end());
  }

  // ---- what products read

  // Whether a block has all of it, or it comes from other regions.
  bool has(int32_t k, const WideArg& x) const {
    return std::all_of(x.at.begin(), x.at.end(),
                       [&](int64_t e) { return !inner(x, e) || owners_.owner(id(x, e)) == k; });
  }
  Source source_of(const WidePart& p, int32_t k) {
    Block& block = of_blocks_[k];
    if (has(k, p.x)) return own(p, block);
    const int32_t at = block.heard.at(known_.at(key_of(p)));
    const WideExchange& x = block.exchanges[at];
    return x.bits ? Source{at, {}, false} : Source{-1, {x.at, 1, 0, 0}, false};
  }
  // In one row, else copied into one.
  Source own(const WidePart& p, Block& block) {
    const WideArg& x = p.x;
    const auto at = [&](size_t i) { return spot(x, static_cast<int64_t>(i), false, false); };
    WideRow row;
    if (row.find(x.at.size(), at) == x.at.size()) return {-1, near(block, x, row, x.at.size()), !row.first.far};
    const Near made{block.item, 1, 0, 0};
    block.item += static_cast<int32_t>(x.at.size());
    for (size_t i = 0; i < x.at.size();) {
      const size_t count = row.find(x.at.size() - i, [&](size_t j) { return at(i + j); });
      WideOp<T> op{};
      op.kind = Wide::copy, op.count = static_cast<int32_t>(count);
      op.near[0] = {made.at + static_cast<int32_t>(i), 1, 0, 0}, op.near[kWideIn] = near(block, x, row, count);
      block.ops.push_back(op);
      i += count;
    }
    return {-1, made, true};
  }

  // ---- what goes round

  using Key = std::vector<int64_t>;
  // A vector, as it is at this place in the step.
  Key key_of(const WidePart& p) const {
    Key key{p.x.buffer, p.x.shift};
    for (int64_t e : p.x.at) key.push_back(e), key.push_back(now_[id(p.x, e)]);
    return key;
  }
  // Before an op (its parts first .. last - 1): what other blocks have is told, then heard, all at once.
  void exchange(size_t first, size_t last) {
    std::set<int64_t> written;
    std::map<int32_t, std::vector<int32_t>> hears;  // block: exchanges
    for (size_t i = first; i < last; ++i)
      for (int s = 0; s < parts_[i].outs; ++s)
        for (int64_t e : parts_[i].args[s].at) written.insert(id(parts_[i].args[s], e));
    for (size_t i = first; i < last; ++i) {
      const WidePart& p = parts_[i];
      if (p.kind < Wide::dense) continue;
      std::set<int32_t> readers;
      for (int64_t e : p.args[0].at) readers.insert(owners_.owner(id(p.args[0], e)));
      for (int64_t e : p.x.at) need_wide(!written.count(id(p.x, e)));
      for (int32_t k : readers) {
        if (has(k, p.x)) continue;
        const int32_t number = told(p);
        if (of_blocks_[k].heard.try_emplace(number, -1).second) hears[k].push_back(number);
      }
    }
    for (const auto& [k, numbers] : hears) hear(of_blocks_[k], numbers);
  }
  // The number of the exchange of what a product reads. Its elements are told when they are asked for first.
  int32_t told(const WidePart& p) {
    for (int64_t e : p.x.at) need_wide(inner(p.x, e) && (now_[id(p.x, e)] || in_place(kind(p.x))));
    const auto [found, is_new] = known_.try_emplace(key_of(p), static_cast<int32_t>(vectors_.size()));
    if (!is_new) return found->second;
    WideExchange x = owners_.exchange(p, sizeof(T) / 4);
    x.first = plan.words, plan.words += x.words;
    need_wide(vectors_.size() < kMostExchanges);
    vectors_.push_back(x);
    std::map<int32_t, std::vector<int32_t>> of;
    for (int32_t i = 0; i < x.n; ++i) of[owners_.owner(id(p.x, p.x.at[i]))].push_back(i);
    for (const auto& [k, places] : of) {
      of_blocks_[k].exchanges.push_back(x);
      for (size_t i = 0, next; i < places.size(); i = next) next = send(p, of_blocks_[k], places, i);
    }
    return found->second;
  }
  size_t send(const WidePart& p, Block& block, const std::vector<int32_t>& of, size_t i) {
    const WideExchange& x = block.exchanges.back();
    const auto at = [&](size_t e) { return cell_[id(p.x, p.x.at[of[e]])]; };
    WideOp<T> op{};
    const int64_t first = id(p.x, p.x.at[of[i]]);
    op.kind = Wide::send, op.exchange = static_cast<int32_t>(block.exchanges.size()) - 1;
    op.place = x.bits ? x.word(of[i]) : of[i];
    const int32_t step = i + 1 < of.size() ? at(i + 1) - at(i) : 0;
    op.place_step = i + 1 < of.size() ? of[i + 1] - of[i] : 0;
    size_t next = i + 1;
    while (next < of.size() && at(next) - at(next - 1) == step && of[next] - of[next - 1] == op.place_step) ++next;
    need_wide(!x.bits || next == of.size());
    op.count = static_cast<int32_t>(next - i);
    op.near[kWideIn] = {cell_[first], step, flip_[first], flip_[first] ? int32_t(p.x.shift) : 0};
    block.ops.push_back(op);
    return next;
  }
  void hear(Block& block, const std::vector<int32_t>& numbers) {
    WideOp<T> op{};
    op.kind = Wide::receive, op.exchange = static_cast<int32_t>(block.exchanges.size());
    op.count = static_cast<int32_t>(numbers.size());
    int32_t start = 0;
    for (int32_t number : numbers) {
      WideExchange x = vectors_[number];
      int32_t& room = x.bits ? block.bits : block.item;
      x.at = room, room += x.bits ? x.integers() : x.n;
      x.start = start, start += x.lanes();
      block.heard[number] = static_cast<int32_t>(block.exchanges.size());
      block.exchanges.push_back(x);
    }
    block.ops.push_back(op);
  }

  void finish() {
    const auto append = [](auto& all, const auto& some) {
      const Span span{static_cast<int32_t>(all.size()), static_cast<int32_t>(some.size())};
      all.insert(all.end(), some.begin(), some.end());
      return span;
    };
    for (Block& b : of_blocks_) {
      add_barriers(b.ops, b.exchanges);
      WideBlock block;
      block.ops = append(plan.ops, b.ops), block.fetches = append(plan.fetches, b.fetches);
      block.loads = append(plan.loads, b.loads), block.weights = append(plan.weights, b.weights);
      block.entries = append(plan.entries, b.entries), block.integers = append(plan.integers, b.integers);
      block.exchanges = append(plan.exchanges, b.exchanges);
      block.fixed = b.fixed, block.item = b.item, block.item_integers = b.bits;
      plan.blocks.push_back(block);
    }
    for (const WidePart& p : parts_) {
      for (int s = 0; s < p.outs; ++s)
        if (in_place(kind(p.args[s]))) plan.in_place.push_back(p.args[s].buffer);
      if (!p.set && kind(p.args[0]) == BufferKind::window) plan.in_rows.push_back(p.args[0].buffer);
    }
  }

  const Program& program_;
  const std::vector<WidePart> parts_;
  const WideOwners owners_;
  std::vector<Block> of_blocks_;
  std::vector<int32_t> now_, cell_, flip_;  // now_: how often it was written in this step
  std::map<size_t, std::pair<NeuronsOp<T>, std::vector<int32_t>>> models_;
  std::map<Key, int32_t> known_;
  std::vector<WideExchange> vectors_;
};

}  // namespace

template <class T>
WidePlan<T> plan_wide(const std::vector<LoopOp>& ops, const Program& program, Tables& tables, int64_t blocks,
                      bool together) {
  try {
    return Planner<T>(ops, program, tables, blocks, together).plan;
  } catch (const NotWide&) {
    return {};
  }
}
template WidePlan<float> plan_wide(const std::vector<LoopOp>&, const Program&, Tables&, int64_t, bool);
template WidePlan<double> plan_wide(const std::vector<LoopOp>&, const Program&, Tables&, int64_t, bool);

}  // namespace cuda
}  // namespace nengo_dl
