// Which block has which elements, and what it does with them in a step.
#include <algorithm>
#include <map>

#include "cuda/wide_loop_barriers.h"
#include "cuda/wide_loop_parts.h"
#include "engine/sets.h"

namespace nengo_dl {
namespace cuda {
namespace {

constexpr int64_t kMany = -2;  // ops

template <class T>
class Planner {
 public:
  Planner(const std::vector<LoopOp>& ops, const Program& program, Tables& tables, int64_t blocks)
      : program_(program), parts_(wide_parts(ops, program)), blocks_(blocks) {
    int64_t next = 0;
    for (const Buffer& b : program.buffers) start_.push_back(next), next += b.size;
    written_.assign(next, -1), now_.assign(next, 0), owner_.assign(next, -1), cell_.assign(next, -1);
    flip_.assign(next, 0);
    for (const WidePart& p : parts_)
      for (int s = 0; s < p.outs; ++s)
        for (int64_t e : p.args[s].at) {
          int64_t& by = written_[id(p.args[s], e)];
          by = by == -1 || by == int64_t(p.number) ? int64_t(p.number) : kMany;
        }
    for (const WidePart& p : parts_)
      if (p.kind == Wide::neurons && !models_.count(p.number)) {
        const NeuronsOp<T> made(*p.op, program, tables);
        need_wide(!made.draws && !made.model_of);
        models_.emplace(p.number, made);
      }
    assign();
    make_cells();
    for (const WidePart& p : parts_) emit(p);
    finish();
  }
  WidePlan<T> plan;

 private:
  int64_t id(const WideArg& a, int64_t e) const { return start_[a.buffer] + e; }
  bool inner(const WideArg& a, int64_t e) const { return written_[id(a, e)] != -1; }
  BufferKind kind(const WideArg& a) const { return program_.buffers[a.buffer].kind; }

  // Whether a vector consists of spikes of one height, made before its reader.
  bool spikes(const WidePart& reader) const {
    const auto by = models_.find(static_cast<size_t>(std::max<int64_t>(0, written_[id(reader.x, reader.x.at[0])])));
    if (by == models_.end() || by->first >= reader.number || reader.x.at.size() < 64 || reader.x.at.size() > 4096)
      return false;
    for (int64_t e : reader.x.at)
      if (written_[id(reader.x, e)] != int64_t(by->first)) return false;
    for (const WidePart& p : parts_) {
      if (p.number != by->first) continue;
      const std::string type = p.op->text("type");
      return type == "LIF" || type == "AdaptiveLIF" || type == "CubaLIF" || type == "Izhikevich";
    }
    return false;
  }
  T height(size_t number) const {
    for (const WidePart& p : parts_)
      if (p.number == number && p.op->has("amplitude")) return T(p.op->per_block("amplitude")[0] / program_.dt);
    return T(1.0 / program_.dt);
  }

  WideExchange exchange_of(const WidePart& p) const {
    WideExchange x{};
    x.bits = spikes(p), x.n = static_cast<int32_t>(p.x.at.size());
    x.parts = 1;
    while (x.parts < 4 && 2 * x.parts * kWideLanes <= blocks_) x.parts *= 2;
    x.deep = (x.rounds() + x.parts - 1) / x.parts;
    x.words = x.bits ? x.parts * kWideLanes : x.n * static_cast<int32_t>(sizeof(T) / 4);
    return x;
  }

  void assign() {
    Sets sets(written_.size());
    std::vector<int64_t> load(written_.size(), 0);
    for (const WidePart& p : parts_)
      for (int64_t i = 0; i < p.count(); ++i) {
        const int64_t to = id(p.args[0], p.args[0].at[i]);
        for (int s = 0; s < kWideA; ++s)
          if (p.args[s].there() && inner(p.args[s], p.args[s].at[i])) sets.join(to, id(p.args[s], p.args[s].at[i]));
        if (p.args[kWideA].there())
          for (size_t j = 0; j < p.x.at.size(); ++j) {
            const int64_t e = p.args[kWideA].at[i] + static_cast<int64_t>(j) * p.a_step;
            need_wide(inner(p.args[kWideA], e));
            sets.join(to, id(p.args[kWideA], e));
          }
      }
    for (const WidePart& p : parts_)
      for (int64_t e : p.args[0].at)
        load[sets.find(id(p.args[0], e))] += 1 + int64_t(p.weights.at.size() ? p.x.at.size() : 0);
    std::vector<int64_t> block(written_.size(), -1), total(blocks_, 0);
    const auto give = [&](int64_t set, int64_t to) { block[set] = to, total[to] += load[set]; };
    for (const WidePart& p : parts_) {
      if (p.kind < Wide::dense || !inner(p.x, p.x.at[0]) || !spikes(p)) continue;
      const WideExchange x = exchange_of(p);
      for (int32_t i = 0; i < x.n; ++i) {
        const int64_t set = sets.find(id(p.x, p.x.at[i]));
        if (block[set] < 0) give(set, x.word(i));
        need_wide(block[set] == x.word(i));
      }
    }
    for (size_t i = 0; i < written_.size(); ++i) {
      if (written_[i] == -1) continue;
      const int64_t set = sets.find(static_cast<int64_t>(i));
      if (block[set] < 0) give(set, std::min_element(total.begin(), total.end()) - total.begin());
      owner_[i] = static_cast<int32_t>(block[set]);
    }
  }

  void make_cells() {
    item_.assign(blocks_, 0), fixed_.assign(blocks_, 0), bits_.assign(blocks_, 0);
    ops_.resize(blocks_), fetches_.resize(blocks_), loads_.resize(blocks_), weights_.resize(blocks_);
    entries_.resize(blocks_), integers_.resize(blocks_), heard_.resize(blocks_);
    for (size_t b = 0; b < program_.buffers.size(); ++b) {
      const BufferKind kind = program_.buffers[b].kind;
      std::vector<std::vector<int64_t>> of(blocks_);
      for (int64_t e = 0; e < program_.buffers[b].size; ++e)
        if (written_[start_[b] + e] != -1) of[owner_[start_[b] + e]].push_back(e);
      for (int64_t k = 0; k < blocks_; ++k) {
        const auto count = static_cast<int32_t>(of[k].size());
        const int32_t flip = kind == BufferKind::carried ? count : 0;
        for (int32_t i = 0; i < count; ++i)
          cell_[start_[b] + of[k][i]] = item_[k] + i, flip_[start_[b] + of[k][i]] = flip;
        if (kind == BufferKind::carried || in_place(kind)) add_loads(k, static_cast<int32_t>(b), of[k], flip);
        item_[k] += count + flip;
      }
    }
  }
  void add_loads(int64_t k, int32_t buffer, const std::vector<int64_t>& at, int32_t flip) {
    for (size_t i = 0, next; i < at.size(); i = next) {
      const int64_t step = i + 1 < at.size() ? at[i + 1] - at[i] : 0;
      for (next = i + 1; next < at.size() && at[next] - at[next - 1] == step;) ++next;
      loads_[k].push_back({{buffer, 0, at[i], step},
                           static_cast<int32_t>(next - i),
                           {item_[k] + static_cast<int32_t>(i), 1, flip, 0},
                           in_place(program_.buffers[buffer].kind)});
    }
  }

  // Element i of a part's argument, for a block.
  struct Spot {
    bool far;
    int64_t cell, element, flip;
  };
  Spot spot(const WidePart& p, int s, int64_t i) const {
    const WideArg& a = p.args[s];
    const int64_t e = a.at[i], at = id(a, e);
    if (written_[at] == -1) return {true, 0, e, 0};
    const bool old = s < kWideOuts || now_[at] || in_place(kind(a)) || (kind(a) == BufferKind::carried && a.shift == 0);
    if (!old) {  // adds to what another region has made
      need_wide(s == kWideOld && !p.set && kind(a) == BufferKind::window);
      return {true, 0, e, 0};
    }
    need_wide(!(s == kWideOld && !p.set && kind(a) == BufferKind::carried));
    return {false, cell_[at], e, flip_[at]};
  }

  void emit(const WidePart& p) {
    int32_t exchange = -1;
    if (p.kind >= Wide::dense && inner(p.x, p.x.at[0])) exchange = exchanged(p);
    std::vector<std::vector<int64_t>> of(blocks_);
    for (int64_t i = 0; i < p.count(); ++i) of[owner_[id(p.args[0], p.args[0].at[i])]].push_back(i);
    for (int64_t k = 0; k < blocks_; ++k) {
      if (of[k].empty()) continue;
      if (exchange >= 0) hear(k, exchange);
      for (size_t i = 0, next; i < of[k].size(); i = next) next = run(p, k, of[k], i, exchange);
      need_wide(ops_[k].size() <= 48);
    }
    for (int s = 0; s < p.outs; ++s)
      for (int64_t e : p.args[s].at) now_[id(p.args[s], e)] = 1;
  }

  // One op of elements from `first` on, as many as lie at regular distances.
  size_t run(const WidePart& p, int64_t k, const std::vector<int64_t>& of, size_t first, int32_t exchange) {
    size_t next = of.size();
    WideOp<T> op{};
    std::array<std::pair<Spot, Spot>, kWideNear> spots;
    for (int s = 0; s < kWideNear; ++s) {
      if (!p.args[s].there()) continue;
      const Spot a = spot(p, s, of[first]), b = first + 1 < of.size() ? spot(p, s, of[first + 1]) : a;
      spots[s] = {a, {b.far, b.cell - a.cell, b.element - a.element, b.flip}};
      for (size_t i = first; i < next; ++i) {
        const Spot c = spot(p, s, of[i]);
        const int64_t d = static_cast<int64_t>(i - first);
        if (c.far != a.far || c.flip != a.flip || c.cell != a.cell + d * spots[s].second.cell ||
            c.element != a.element + d * spots[s].second.element)
          next = i;
      }
    }
    op.kind = p.kind, op.set = p.set, op.outs = p.outs, op.count = static_cast<int32_t>(next - first);
    for (int s = 0; s < kWideNear; ++s) {
      if (!p.args[s].there()) continue;
      const auto& [a, step] = spots[s];
      const auto shift = static_cast<int32_t>(p.args[s].shift), buffer = static_cast<int32_t>(p.args[s].buffer);
      if (s < p.outs) op.kept[s] = {buffer, shift, a.element, step.element};
      if (a.far)
        op.near[s] = fetched(k, {buffer, shift, a.element, step.element}, op.count);
      else
        op.near[s] = {int32_t(a.cell), int32_t(step.cell), int32_t(a.flip), a.flip ? shift : 0};
    }
    if (p.kind == Wide::lowpass) op.a = T(p.op->per_block("a")[p.block]), op.b = T(p.op->per_block("b")[p.block]);
    if (p.kind == Wide::outer) op.a = T(p.op->per_block("alpha")[p.block]);
    if (p.kind == Wide::neurons) op.type = models_.at(p.number).type, op.model = models_.at(p.number).models;
    if (p.kind >= Wide::dense) product(p, k, of, first, next, exchange, op);
    ops_[k].push_back(op);
    return next;
  }
  Near fetched(int64_t k, const Far& from, int32_t count) {
    if (from.step == 0) count = 1;
    const Near near{item_[k], from.step ? 1 : 0, count, 0};
    fetches_[k].push_back({from, count, item_[k]});
    item_[k] += 2 * count;
    return near;
  }

  void product(const WidePart& p, int64_t k, const std::vector<int64_t>& of, size_t first, size_t next,
               int32_t exchange, WideOp<T>& op) {
    const auto n = static_cast<int32_t>(p.x.at.size());
    op.n = n, op.has_bias = p.args[kWideIn].there(), op.in_cells = p.args[kWideA].there();
    op.teams = n >= 32, op.width = n, op.weights = fixed_[k];
    if (exchange >= 0 && plan.exchanges[exchange].bits) {
      op.told = exchange, op.b = height(static_cast<size_t>(written_[id(p.x, p.x.at[0])]));
      op.width = (plan.exchanges[exchange].rounds() + 1) * kWideLanes;
      need_wide(!op.in_cells);
    } else if (exchange >= 0) {
      op.x = {plan.exchanges[exchange].at, 1, 0, 0};
    } else {
      const int64_t step = n > 1 ? p.x.at[1] - p.x.at[0] : 0;
      for (int32_t j = 0; j < n; ++j) need_wide(!inner(p.x, p.x.at[j]) && p.x.at[j] == p.x.at[0] + j * step);
      op.x = fetched(k, {int32_t(p.x.buffer), int32_t(p.x.shift), p.x.at[0], step}, n);
    }
    if (p.kind == Wide::sparse) return sparse(p, k, of, first, next, op);
    if (op.in_cells) {
      const int64_t from = id(p.args[kWideA], p.args[kWideA].at[of[first]]);
      op.a_step = n > 1 ? cell_[from + p.a_step] - cell_[from] : 0;
      for (size_t i = first; i < next; ++i)
        for (int64_t j = 0, row = id(p.args[kWideA], p.args[kWideA].at[of[i]]); j < n; ++j)
          need_wide(cell_[row + j * p.a_step] == cell_[row] + j * op.a_step);
      return;
    }
    const int64_t row = p.weights.at[of[first]], step = op.count > 1 ? p.weights.at[of[first + 1]] - row : 0;
    for (size_t i = first; i < next; ++i) need_wide(p.weights.at[of[i]] == row + int64_t(i - first) * step);
    weights_[k].push_back({{int32_t(p.weights.buffer), 0, row, step}, p.a_step, op.count, n, op.weights, op.width});
    fixed_[k] += op.count * op.width;
  }
  void sparse(const WidePart& p, int64_t k, const std::vector<int64_t>& of, size_t first, size_t next, WideOp<T>& op) {
    const std::vector<int64_t>&columns = p.op->integers("indices"), &starts = p.op->integers("indptr");
    const Operand& A = p.op->arg("A");
    op.teams = static_cast<int64_t>(columns.size()) >= 32 * (static_cast<int64_t>(starts.size()) - 1);
    std::vector<int32_t> codes, from{0};
    for (size_t i = first; i < next; ++i) {
      for (int64_t e = starts[of[i]]; e < starts[of[i] + 1]; ++e) {
        const auto c = static_cast<int32_t>(columns[e]);
        entries_[k].push_back({A.offsets[0] + e * A.strides[0], int32_t(A.buffer), fixed_[k]++});
        codes.push_back(op.told < 0 ? c : plan.exchanges[op.told].word(c) * 32 + plan.exchanges[op.told].bit(c));
      }
      from.push_back(static_cast<int32_t>(codes.size()));
    }
    auto& all = integers_[k];
    op.starts = static_cast<int32_t>(all.size()), all.insert(all.end(), from.begin(), from.end());
    op.codes = static_cast<int32_t>(all.size()), all.insert(all.end(), codes.begin(), codes.end());
  }

  // The exchange of what a product reads. Its elements are told when they are asked for first.
  int32_t exchanged(const WidePart& p) {
    for (int64_t e : p.x.at) need_wide(inner(p.x, e) && (now_[id(p.x, e)] || in_place(kind(p.x))));
    std::vector<int64_t> key{p.x.buffer, p.x.shift, now_[id(p.x, p.x.at[0])]};
    key.insert(key.end(), p.x.at.begin(), p.x.at.end());
    for (int64_t e : p.x.at) need_wide(written_[id(p.x, e)] != kMany);
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
    WideExchange x = exchange_of(p);
    x.first = words_, words_ += x.words;
    x.at = x.bits ? bits_total_ : vectors_;
    (x.bits ? bits_total_ : vectors_) += x.bits ? x.integers() : x.n;
    const auto number = static_cast<int32_t>(plan.exchanges.size());
    need_wide(number < 8);
    plan.exchanges.push_back(x);
    std::vector<std::vector<int32_t>> of(blocks_);
    for (int32_t i = 0; i < x.n; ++i) of[owner_[id(p.x, p.x.at[i])]].push_back(i);
    for (int64_t k = 0; k < blocks_; ++k)
      for (size_t i = 0, next; i < of[k].size(); i = next) next = send(p, k, of[k], i, number);
    return known_[key] = number;
  }
  size_t send(const WidePart& p, int64_t k, const std::vector<int32_t>& of, size_t i, int32_t number) {
    const WideExchange& x = plan.exchanges[number];
    const auto at = [&](size_t e) { return cell_[id(p.x, p.x.at[of[e]])]; };
    WideOp<T> op{};
    const int64_t first = id(p.x, p.x.at[of[i]]);
    op.kind = Wide::send, op.exchange = number, op.place = x.bits ? x.word(of[i]) : of[i];
    const int32_t step = i + 1 < of.size() ? at(i + 1) - at(i) : 0;
    op.place_step = i + 1 < of.size() ? of[i + 1] - of[i] : 0;
    size_t next = i + 1;
    while (next < of.size() && at(next) - at(next - 1) == step && of[next] - of[next - 1] == op.place_step) ++next;
    need_wide(!x.bits || next == of.size());
    op.count = static_cast<int32_t>(next - i);
    op.near[kWideIn] = {cell_[first], step, flip_[first], flip_[first] ? int32_t(p.x.shift) : 0};
    ops_[k].push_back(op);
    return next;
  }
  void hear(int64_t k, int32_t number) {
    if (std::count(heard_[k].begin(), heard_[k].end(), number)) return;
    heard_[k].push_back(number);
    WideOp<T> op{};
    op.kind = Wide::receive, op.exchange = number;
    ops_[k].push_back(op);
  }

  void finish() {
    const auto append = [](auto& all, const auto& some) {
      const Span span{static_cast<int32_t>(all.size()), static_cast<int32_t>(some.size())};
      all.insert(all.end(), some.begin(), some.end());
      return span;
    };
    for (int64_t k = 0; k < blocks_; ++k) {
      add_barriers(ops_[k]);
      for (WideOp<T>& op : ops_[k])  // vectors lie behind the cells of a block
        if (op.kind >= Wide::dense && op.kind <= Wide::sparse && op.told < 0 && op.x.flip == 0) op.x.at += item_[k];
      WideBlock block;
      block.ops = append(plan.ops, ops_[k]), block.fetches = append(plan.fetches, fetches_[k]);
      block.loads = append(plan.loads, loads_[k]), block.weights = append(plan.weights, weights_[k]);
      block.entries = append(plan.entries, entries_[k]), block.integers = append(plan.integers, integers_[k]);
      block.fixed = fixed_[k], block.cells = item_[k], block.item = item_[k] + vectors_;
      block.item_integers = bits_total_;
      plan.blocks.push_back(block);
    }
    for (const WidePart& p : parts_)
      for (int s = 0; s < p.outs; ++s)
        if (in_place(kind(p.args[s]))) plan.in_place.push_back(p.args[s].buffer);
    for (const WidePart& p : parts_)
      if (!p.set && kind(p.args[0]) == BufferKind::window) plan.in_rows.push_back(p.args[0].buffer);
    plan.words = words_, plan.good = !plan.exchanges.empty();
  }

  const Program& program_;
  const std::vector<WidePart> parts_;
  const int64_t blocks_;
  std::vector<int64_t> start_, written_;  // by which op, or -1
  std::vector<char> now_;                 // in this step
  std::vector<int32_t> owner_, cell_, flip_, item_, fixed_, bits_;
  std::map<size_t, NeuronsOp<T>> models_;
  std::vector<std::vector<WideOp<T>>> ops_;
  std::vector<std::vector<WideFetch>> fetches_;
  std::vector<std::vector<WideLoad>> loads_;
  std::vector<std::vector<WideWeights>> weights_;
  std::vector<std::vector<WideEntry>> entries_;
  std::vector<std::vector<int32_t>> integers_, heard_;
  std::map<std::vector<int64_t>, int32_t> known_;
  int32_t words_ = 0, bits_total_ = 0, vectors_ = 0;
};

}  // namespace

template <class T>
WidePlan<T> plan_wide(const std::vector<LoopOp>& ops, const Program& program, Tables& tables, int64_t blocks) {
  try {
    return Planner<T>(ops, program, tables, blocks).plan;
  } catch (const NotWide&) {
    return {};
  }
}
template WidePlan<float> plan_wide(const std::vector<LoopOp>&, const Program&, Tables&, int64_t);
template WidePlan<double> plan_wide(const std::vector<LoopOp>&, const Program&, Tables&, int64_t);

}  // namespace cuda
}  // namespace nengo_dl
