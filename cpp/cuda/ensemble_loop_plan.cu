// Which islands a loop consists of, and what the warp of each does.
#include <algorithm>
#include <map>
#include <set>

#include "cuda/dense.h"
#include "cuda/ensemble_loop.h"
#include "cuda/wide_loop_parts.h"
#include "engine/sets.h"

namespace nengo_dl {
namespace cuda {
namespace {

// Elements of a part that are an island's.
struct Piece {
  const WidePart* part;
  std::vector<size_t> which;
};

// Where the elements of all buffers are among each other, and which of them the loop writes.
class Elements {
 public:
  Elements(const std::vector<WidePart>& parts, const Program& program) : program_(program) {
    int64_t next = 0;
    for (const Buffer& b : program.buffers) start_.push_back(next), next += b.size;
    written_.assign(next, 0);
    for (const WidePart& p : parts)
      for (int s = 0; s < p.outs; ++s)
        for (int64_t e : p.args[s].at) written_[id(p.args[s], e)] = 1;
  }
  int64_t count() const { return static_cast<int64_t>(written_.size()); }
  int64_t id(const WideArg& a, int64_t e) const { return start_[a.buffer] + e; }
  bool inner(const WideArg& a, int64_t e) const { return written_[id(a, e)]; }
  BufferKind kind(const WideArg& a) const { return program_.buffers[a.buffer].kind; }
  std::vector<int64_t> ids(const WideArg& a) const {
    std::vector<int64_t> all;
    for (int64_t e : a.at) all.push_back(id(a, e));
    return all;
  }

 private:
  const Program& program_;
  std::vector<int64_t> start_;
  std::vector<char> written_;
};

// All elements of an argument.
Far far(const WideArg& a, int64_t shift) {
  const int64_t step = a.at.size() > 1 ? a.at[1] - a.at[0] : 0;
  for (size_t i = 0; i < a.at.size(); ++i) need_wide(a.at[i] == a.at[0] + static_cast<int64_t>(i) * step);
  return {static_cast<int32_t>(a.buffer), static_cast<int32_t>(shift), a.at[0], step};
}

template <class T>
class IslandPlanner {
 public:
  IslandPlanner(EnsemblePlan<T>& plan, const Elements& elements, const std::vector<Piece>& pieces)
      : plan_(plan), elements_(elements) {
    island_.ops.first = static_cast<int32_t>(plan.ops.size());
    island_.entries.first = static_cast<int32_t>(plan.entries.size());
    for (const Piece& p : pieces) {
      if (p.part->kind != Wide::neurons) continue;
      need_wide(!neurons_);
      neurons_ = p.part;
    }
    need_wide(neurons_);
    J_ = elements.ids(neurons_->args[kWideIn]), out_ = elements.ids(neurons_->args[0]);
    for (const auto* ids : {&J_, &out_}) apart_.insert(ids->begin(), ids->end());
    for (int s = 1; s < neurons_->outs; ++s)
      for (int64_t id : elements.ids(neurons_->args[s])) apart_.insert(id);
    for (const Piece& p : pieces) add(p);
    need_wide(encoded_);
    finish();
  }
  const EnsembleIsland<T>& island() const { return island_; }
  int32_t slots() const { return static_cast<int32_t>(slots_.size()); }

 private:
  void add(const Piece& piece) {
    const WidePart& p = *piece.part;
    if (p.kind == Wide::neurons) return add_neurons(p);
    if (p.kind != Wide::dense) return add_small(piece);
    need_wide(p.weights.there() && elements_.kind(p.weights) == BufferKind::param);
    elements_.ids(p.args[0]) == J_ ? add_encoders(p) : add_decoders(p);
  }

  // What comes in is read when the neurons fire: nothing may write it in between.
  void add_encoders(const WidePart& p) {
    need_wide(!encoded_ && !fired_ && p.set && p.x.at.size() <= kEnsembleDims);
    encoded_ = true;
    island_.dims = static_cast<int32_t>(p.x.at.size());
    island_.encoders = far(p.weights, 0), island_.encoder_step = p.a_step;
    if (const WideArg& bias = p.args[kWideIn]; bias.there()) {
      need_wide(elements_.kind(bias) == BufferKind::param);
      island_.has_bias = true, island_.bias = far(bias, 0);
    }
    for (int32_t d = 0; d < island_.dims; ++d) {
      island_.x[d] = read(p.x, p.x.at[d]);
      closed_.insert(elements_.id(p.x, p.x.at[d]));
    }
  }
  void add_neurons(const WidePart& p) {
    need_wide(encoded_);
    fired_ = true;
    closed_.clear();
    island_.n = static_cast<int32_t>(J_.size());
    for (const WideArg* a : {&p.args[kWideIn], &p.args[0]})
      need_wide(elements_.kind(*a) == BufferKind::local || elements_.kind(*a) == BufferKind::window);
    island_.J = far(p.args[kWideIn], 0), island_.out = far(p.args[0], 0);
    for (int s = 1; s < p.outs; ++s) {
      const BufferKind kind = elements_.kind(p.args[s]);
      need_wide(kind == BufferKind::state || (kind == BufferKind::carried && p.args[s].shift == 1));
      island_.state[s - 1] = far(p.args[s], 0), island_.kept[s - 1] = kind == BufferKind::carried;
      (kind == BufferKind::carried ? plan_.in_rows : plan_.in_place).push_back(p.args[s].buffer);
    }
    plan_.ops.push_back({Small::fire, true, 0, 0});
  }
  // Done when the neurons fire: nothing may have touched the sums since.
  void add_decoders(const WidePart& p) {
    need_wide(fired_ && elements_.ids(p.x) == out_ && p.x.at.size() >= DenseOp<T>::kLong && !p.args[kWideIn].there());
    for (size_t r = 0; r < p.args[0].at.size(); ++r) {
      need_wide(island_.rows < kEnsembleRows);
      const int32_t row = island_.rows++;
      const int64_t id = elements_.id(p.args[0], p.args[0].at[r]);
      need_wide(!closed_.count(id));
      if (!p.set) read(p.args[kWideOld], p.args[kWideOld].at[r]);
      island_.decoders[row] = {static_cast<int32_t>(p.weights.buffer), 0, p.weights.at[r], p.a_step};
      island_.y[row] = write(p.args[0], p.args[0].at[r]), island_.set[row] = p.set;
    }
  }

  void add_small(const Piece& piece) {
    const WidePart& p = *piece.part;
    need_wide(p.kind == Wide::copy || p.kind == Wide::elementwise || p.kind == Wide::lowpass);
    need_wide(p.set || elements_.kind(p.args[0]) != BufferKind::carried);
    SmallOp op;
    op.kind = p.kind == Wide::copy ? Small::copy : p.kind == Wide::lowpass ? Small::lowpass : Small::product;
    op.set = p.set, op.count = static_cast<int32_t>(piece.which.size());
    op.first = static_cast<int32_t>(plan_.entries.size()) - island_.entries.first;
    need_wide(op.count <= kEnsembleLanes);
    std::vector<SmallEntry<T>> entries(piece.which.size());
    for (size_t k = 0; k < entries.size(); ++k) {  // all is read before anything is written
      const size_t i = piece.which[k];
      entries[k].from = read(p.args[kWideIn], p.args[kWideIn].at[i]);
      if (op.kind == Small::product) entries[k].other = read(p.args[kWideIn + 1], p.args[kWideIn + 1].at[i]);
      if (p.args[kWideOld].there()) read(p.args[kWideOld], p.args[kWideOld].at[i]);
      if (op.kind != Small::lowpass) continue;
      entries[k].a = static_cast<T>(p.op->per_block("a")[p.block]);
      entries[k].b = static_cast<T>(p.op->per_block("b")[p.block]);
    }
    for (size_t k = 0; k < entries.size(); ++k) {
      const int64_t e = p.args[0].at[piece.which[k]];
      need_wide(!closed_.count(elements_.id(p.args[0], e)));
      entries[k].to = write(p.args[0], e);
    }
    for (const SmallEntry<T>& a : entries)  // lanes write when they like
      for (const SmallEntry<T>& b : entries)
        need_wide(&a == &b || (a.to != b.from && (op.kind != Small::product || a.to != b.other)));
    if (fired_)
      for (const WideArg& a : p.args)
        for (size_t i : piece.which)
          if (a.there()) closed_.insert(elements_.id(a, a.at[i]));
    plan_.ops.push_back(op);
    plan_.entries.insert(plan_.entries.end(), entries.begin(), entries.end());
  }

  // The slot of an element that is read.
  int16_t read(const WideArg& a, int64_t e) {
    const int64_t id = elements_.id(a, e);
    need_wide(!apart_.count(id));
    const BufferKind kind = elements_.kind(a);
    const bool inner = elements_.inner(a, e);
    if (inner && kind == BufferKind::carried) need_wide(a.shift == (now_.count(id) ? 1 : 0));
    const auto [found, is_new] = slots_.try_emplace({id, inner ? -1 : a.shift}, static_cast<int16_t>(slots_.size()));
    if (!is_new) return found->second;
    const Far from{static_cast<int32_t>(a.buffer), static_cast<int32_t>(a.shift), e, 0};
    const bool rows = kind == BufferKind::window || kind == BufferKind::carried;
    const bool once = kind == BufferKind::param || kind == BufferKind::state || (inner && kind == BufferKind::carried);
    need_wide(rows || once);
    (once ? once_loads_ : loads_).push_back({from, found->second});
    (rows ? plan_.in_rows : plan_.in_place).push_back(a.buffer);
    return found->second;
  }
  // The slot of one that is written.
  int16_t write(const WideArg& a, int64_t e) {
    const int64_t id = elements_.id(a, e);
    need_wide(!apart_.count(id));
    const BufferKind kind = elements_.kind(a);
    if (kind == BufferKind::carried) need_wide(a.shift == 1 && !now_.count(id));
    const auto [found, is_new] = slots_.try_emplace({id, -1}, static_cast<int16_t>(slots_.size()));
    if (!now_.insert(id).second) return found->second;
    const Far to{static_cast<int32_t>(a.buffer), static_cast<int32_t>(a.shift), e, 0};
    if (kind == BufferKind::state)
      once_stores_.push_back({to, found->second});
    else
      stores_.push_back({to, found->second});
    need_wide(kind != BufferKind::learned && kind != BufferKind::param);
    if (kind != BufferKind::local) (kind == BufferKind::state ? plan_.in_place : plan_.in_rows).push_back(a.buffer);
    return found->second;
  }

  void finish() {
    island_.ops.count = static_cast<int32_t>(plan_.ops.size()) - island_.ops.first;
    island_.entries.count = static_cast<int32_t>(plan_.entries.size()) - island_.entries.first;
    const auto append = [&](const std::vector<EnsemblePort>& ports) {
      need_wide(ports.size() <= kEnsembleLanes);
      const Span span{static_cast<int32_t>(plan_.ports.size()), static_cast<int32_t>(ports.size())};
      plan_.ports.insert(plan_.ports.end(), ports.begin(), ports.end());
      return span;
    };
    island_.loads = append(loads_), island_.stores = append(stores_);
    island_.once_loads = append(once_loads_), island_.once_stores = append(once_stores_);
  }

  EnsemblePlan<T>& plan_;
  const Elements& elements_;
  EnsembleIsland<T> island_;
  const WidePart* neurons_ = nullptr;
  bool encoded_ = false, fired_ = false;
  std::vector<int64_t> J_, out_;
  std::set<int64_t> apart_;   // elements of neurons, which have no slots
  std::set<int64_t> now_;     // written in this step
  std::set<int64_t> closed_;  // not to be written: until the neurons fire what they read, then what was touched
  std::map<std::pair<int64_t, int64_t>, int16_t> slots_;  // by element and, if the loop only reads it, shift
  std::vector<EnsemblePort> loads_, stores_, once_loads_, once_stores_;
};

// Elements that are computed from each other, whole blocks of neurons and products.
Sets islands_of(const std::vector<WidePart>& parts, const Elements& elements) {
  Sets sets(static_cast<size_t>(elements.count()));
  for (const WidePart& p : parts) {
    const bool whole = p.kind == Wide::neurons || p.kind == Wide::dense;
    const auto join = [&](const WideArg& a) {
      for (size_t i = 0; i < a.at.size(); ++i)
        if (elements.inner(a, a.at[i]))
          sets.join(elements.id(p.args[0], p.args[0].at[whole ? 0 : i]), elements.id(a, a.at[i]));
    };
    for (const WideArg& a : p.args)
      if (a.there()) join(a);
    if (p.x.there()) join(p.x);
  }
  return sets;
}

std::vector<std::vector<Piece>> pieces_of(const std::vector<WidePart>& parts, const Elements& elements) {
  Sets sets = islands_of(parts, elements);
  std::vector<std::vector<Piece>> islands;
  std::map<int64_t, size_t> number;  // by set
  for (const WidePart& p : parts)
    for (size_t i = 0; i < p.args[0].at.size(); ++i) {
      const int64_t set = sets.find(elements.id(p.args[0], p.args[0].at[i]));
      const auto [found, is_new] = number.try_emplace(set, islands.size());
      if (is_new) islands.emplace_back();
      std::vector<Piece>& pieces = islands[found->second];
      if (pieces.empty() || pieces.back().part != &p) pieces.push_back({&p, {}});
      pieces.back().which.push_back(i);
    }
  return islands;
}

template <class T>
EnsemblePlan<T> made(const std::vector<LoopOp>& ops, const Program& program, Tables& tables) {
  const std::vector<WidePart> parts = wide_parts(ops, program);
  const Elements elements(parts, program);
  EnsemblePlan<T> plan;
  std::map<size_t, const NeuronModel*> models;
  bool first = true;
  for (const WidePart& p : parts) {
    if (p.kind != Wide::neurons || models.count(p.number)) continue;
    const NeuronsOp<T> op(*p.op, program, tables);
    need_wide(!op.draws && !op.model_of && (first || op.type == plan.type));
    models[p.number] = op.models, plan.type = op.type, first = false;
  }
  for (const std::vector<Piece>& pieces : pieces_of(parts, elements)) {
    const IslandPlanner<T> planner(plan, elements, pieces);
    plan.islands.push_back(planner.island());
    for (const Piece& p : pieces)
      if (p.part->kind == Wide::neurons) plan.islands.back().model = models.at(p.part->number);
    plan.slots = std::max(plan.slots, planner.slots());
  }
  for (auto* buffers : {&plan.in_rows, &plan.in_place}) {
    std::sort(buffers->begin(), buffers->end());
    buffers->erase(std::unique(buffers->begin(), buffers->end()), buffers->end());
  }
  plan.good = !plan.islands.empty();
  return plan;
}

}  // namespace

template <class T>
EnsemblePlan<T> plan_ensembles(const std::vector<LoopOp>& ops, const Program& program, Tables& tables) {
  try {
    return made<T>(ops, program, tables);
  } catch (const NotWide&) {
    return {};
  }
}
template EnsemblePlan<float> plan_ensembles(const std::vector<LoopOp>&, const Program&, Tables&);

}  // namespace cuda
}  // namespace nengo_dl
