// Flow: which op writes what before which other reads it. Activity: between what is wanted and what is given. Needs:
// the values that must be recorded.
#include "engine/flow.h"

#include <algorithm>
#include <optional>

#include "engine/elements.h"
#include "engine/op_util.h"
#include "engine/validate.h"

namespace nengo_dl {
namespace {

// Elements of parts of one buffer, one by one where intervals can't tell.
class Covered {
 public:
  Covered(int64_t size, int64_t* steps) : size_(size), steps_(steps) {}
  void add(const Part& part) {
    each_block(part, [&](int64_t first, int64_t last) { around_.add(first, last); });
    waiting_.push_back(part);
  }
  bool meets(const Part& part) {
    bool near = false;
    each_block(part, [&](int64_t first, int64_t last) { near = near || around_.overlaps(first, last); });
    if (!near) return false;
    if (!exact_) exact_.emplace(0, size_ - 1, steps_);
    for (const Part& w : waiting_) known_ = known_ && exact_->add(w) != Elements::Found::unknown;
    waiting_.clear();
    return !known_ || exact_->find(part) != Elements::Found::none;
  }

 private:
  template <class F>
  static void each_block(const Part& part, F&& f) {
    int64_t lowest, highest;
    part.ends(&lowest, &highest);
    for (int64_t offset : part.operand->offsets) f(offset + lowest, offset + highest);
  }

  int64_t size_;
  int64_t* steps_;
  Intervals around_;
  std::vector<Part> waiting_;  // not in exact_ yet
  std::optional<Elements> exact_;
  bool known_ = true;
};

// The operands of all ops that name a buffer with rows, in their order.
struct Use {
  FlowOp* op;
  int operand;
  FlowOperand& get() const { return op->operands[operand]; }
};
using Uses = std::vector<Use>;

std::vector<Uses> uses_with_rows(std::vector<std::vector<FlowOp>>& stages, size_t buffers) {
  std::vector<Uses> uses(buffers);
  for (auto& stage : stages)
    for (FlowOp& op : stage)
      for (size_t i = 0; i < op.operands.size(); ++i)
        if (!op.operands[i].in_place) uses[op.operands[i].operand->buffer].push_back({&op, static_cast<int>(i)});
  return uses;
}

// What the op writes of an operand: elements that an attribute lists, or all.
Part written_part(const Use& use) {
  const FlowOperand& o = use.get();
  const OpRecord& record = *use.op->record;
  return {o.operand, use.op->lists_elements(o) ? &record.integers(use.op->kind->elements) : nullptr};
}

}  // namespace

void Intervals::add(const Operand& o) {
  int64_t lowest, highest;
  extent(o, &lowest, &highest);
  for (int64_t offset : o.offsets) add(offset + lowest, offset + highest);
}

bool Intervals::overlaps(const Operand& o) const {
  int64_t lowest, highest;
  extent(o, &lowest, &highest);
  for (int64_t offset : o.offsets)
    if (overlaps(offset + lowest, offset + highest)) return true;
  return false;
}

// ---------------------------------------------------------------- Flow

Flow::Flow(const Program& program)
    : uses(program.buffers.size(), 0),
      changed_in_sequence(program.buffers.size()),
      changed_in_loops(program.buffers.size()),
      changed_in_loop(program.buffers.size()) {
  for (const Region& region : program.regions) {
    stages.emplace_back();
    for (const OpRecord& record : region.ops) {
      add_op(program, record, &stages.back());
      for (const FlowOperand& o : stages.back().back().operands) {
        if (!o.in_place || !o.written()) continue;
        const int64_t b = o.operand->buffer;
        if (region.kind == RegionKind::sequence) {
          changed_in_sequence[b].add(*o.operand);
          continue;
        }
        changed_in_loops[b].add(*o.operand);
        changed_in_loop[b][static_cast<int64_t>(stages.size()) - 1].add(*o.operand);
      }
    }
  }
  order_writers(program.buffers.size());
  int64_t steps = kMostSteps;
  find_overwritten_inputs(program, &steps);
  find_lost_values(program, &steps);
  find_changed_values(program, &steps);
  shift_records();
}

void Flow::add_op(const Program& program, const OpRecord& record, std::vector<FlowOp>* stage) {
  const Kind& kind = find_kind(record.kind);
  const GradientFacts gradient = kind.gradient_of(record);
  FlowOp op{&record, &kind, &record};
  if (kind.edge == Edge::input) op.input = record.integer("index");
  if (kind.edge == Edge::output) op.output = record.integer("index");
  op.passes = gradient.passes;
  for (const auto& [name, o] : record.args) {
    const BufferKind buffer = program.buffers[o.buffer].kind;
    FlowOperand operand{&name, &o, kind.find_arg(name)->access, in_place(buffer),
                        access_of(kind, record, name) == Access::write};
    for (const std::string& read : gradient.reads)
      operand.value_needed = operand.value_needed || (read == name && buffer != BufferKind::param);
    op.operands.push_back(operand);
    ++uses[o.buffer];
  }
  stage->push_back(std::move(op));
}

void Flow::order_writers(size_t buffers) {
  std::vector<Intervals> seen(buffers);
  auto visit = [&](FlowOp& op, bool FlowOperand::*flag) {
    for (FlowOperand& o : op.operands)
      if (o.in_place) o.*flag = seen[o.operand->buffer].overlaps(*o.operand);
    for (FlowOperand& o : op.operands)
      if (o.in_place && o.written()) seen[o.operand->buffer].add(*o.operand);
  };
  for (auto& stage : stages)
    for (FlowOp& op : stage) visit(op, &FlowOperand::written_earlier);
  seen.assign(buffers, {});
  for (auto stage = stages.rbegin(); stage != stages.rend(); ++stage)
    for (auto op = stage->rbegin(); op != stage->rend(); ++op) visit(*op, &FlowOperand::written_later);
}

void Flow::find_overwritten_inputs(const Program& program, int64_t* steps) {
  for (auto& stage : stages)
    for (FlowOp& op : stage) {
      std::map<int64_t, Covered> replaced;  // by buffer
      for (const FlowOperand& o : op.operands) {
        const int64_t b = o.operand->buffer;
        if (o.in_place && o.replaces())
          replaced.try_emplace(b, program.buffers[b].size, steps).first->second.add({o.operand});
      }
      if (replaced.empty()) continue;
      for (size_t i = 0; i < op.operands.size(); ++i) {
        const FlowOperand& o = op.operands[i];
        const auto in = replaced.find(o.operand->buffer);
        if (o.access == Access::read && in != replaced.end() && in->second.meets({o.operand}))
          op.overwrites_input = static_cast<int>(i);
      }
    }
}

// In buffers with rows. What the earlier op wrote has no effect then, but would find an adjoint. Values of an input
// port may be replaced: the tests of single ops fill buffers so, and ask for no gradient of what is lost.
void Flow::find_lost_values(const Program& program, int64_t* steps) {
  const std::vector<Uses> uses = uses_with_rows(stages, program.buffers.size());
  for (size_t b = 0; b < uses.size(); ++b) {
    Covered written(program.buffers[b].size, steps);
    for (auto use = uses[b].begin(), next = use; use != uses[b].end(); use = next) {
      next = std::find_if(use, uses[b].end(), [&](const Use& u) { return u.op != use->op; });
      std::for_each(use, next, [&](const Use& u) {  // first all that the op overwrites, then all that it writes
        if (u.get().replaces() && written.meets(written_part(u))) u.op->overwrites_earlier = u.operand;
      });
      std::for_each(use, next, [&](const Use& u) {
        if (u.get().written() && u.op->passes && u.op->input < 0) written.add(written_part(u));
      });
    }
  }
}

// In buffers with rows: the way back finds there what the step left behind. (An op that updates needs its old value, or
// what neurons of its own made of it.)
void Flow::find_changed_values(const Program& program, int64_t* steps) {
  const std::vector<Uses> uses = uses_with_rows(stages, program.buffers.size());
  for (size_t b = 0; b < uses.size(); ++b) {
    const bool carried = program.buffers[b].kind == BufferKind::carried;
    Covered later(program.buffers[b].size, steps);
    for (auto use = uses[b].rbegin(), next = use; use != uses[b].rend(); use = next) {
      next = std::find_if(use, uses[b].rend(), [&](const Use& u) { return u.op != use->op; });
      std::for_each(use, next, [&](const Use& u) {
        FlowOperand& o = u.get();
        const bool of_before = carried && o.operand->shift == 0;
        if (o.value_needed && !of_before && o.access != Access::update) o.changed_later = later.meets({o.operand});
      });
      std::for_each(use, next, [&](const Use& u) {
        if (u.get().written()) later.add(written_part(u));
      });
    }
  }
}

void Flow::shift_records() {
  for (auto& stage : stages)
    for (FlowOp& op : stage)
      for (const FlowOperand& o : op.operands) {
        if (!o.in_place || !(o.written_earlier || o.written())) continue;
        if (op.compiled == op.record) op.compiled = &shifted_.emplace_back(*op.record);
        shifted_.back().args.at(*o.name).shift = 1;
      }
}

int64_t FlowOp::listed_count(const FlowOperand& o) const {
  const int64_t each = static_cast<int64_t>(record->integers(kind->elements).size());
  int64_t count;
  return __builtin_mul_overflow(each, o.operand->offsets.size(), &count) ? INT64_MAX : count;
}

std::vector<int64_t> FlowOp::written_elements(const FlowOperand& o) const {
  std::vector<int64_t> elements;
  const int64_t stride = o.operand->strides.empty() ? 0 : o.operand->strides[0];
  for (int64_t offset : o.operand->offsets) {
    if (lists_elements(o))
      for (int64_t i : record->integers(kind->elements)) elements.push_back(offset + i * stride);
    else
      for_each_element(View(*o.operand), [&](int64_t e) { elements.push_back(offset + e); });
  }
  return elements;
}

// ---------------------------------------------------------------- Activity

bool Activity::writes_active(const FlowOp& op) const {
  for (const FlowOperand& o : op.operands)
    if (o.written() && active[o.operand->buffer]) return true;
  return false;
}

bool Activity::runs(const FlowOp& op) const {
  if (!op.passes) return false;
  if (op.input >= 0) return input_wanted[op.input] && writes_active(op);
  bool reads = false;
  for (const FlowOperand& o : op.operands) reads = reads || (o.read() && active[o.operand->buffer]);
  return reads && (op.output >= 0 ? output_given[op.output] : writes_active(op));
}

namespace {

// Marks buffers that are reached from marked ones by way of ops that pass derivatives: from what an op reads to what it
// writes, or the other way. What comes round by way of the next step is reached, too.
void spread(const Flow& flow, bool forward, std::vector<char>* marks) {
  std::vector<std::vector<const FlowOp*>> onward(marks->size());
  for (const auto& stage : flow.stages)
    for (const FlowOp& op : stage)
      for (const FlowOperand& o : op.operands)
        if (op.passes && (forward ? o.read() : o.written())) onward[o.operand->buffer].push_back(&op);
  std::vector<int64_t> reached;
  for (size_t b = 0; b < marks->size(); ++b)
    if ((*marks)[b]) reached.push_back(static_cast<int64_t>(b));
  while (!reached.empty()) {
    const int64_t from = reached.back();
    reached.pop_back();
    for (const FlowOp* op : onward[from])
      for (const FlowOperand& o : op->operands) {
        char& mark = (*marks)[o.operand->buffer];
        if (mark || !(forward ? o.written() : o.read())) continue;
        mark = 1;
        reached.push_back(o.operand->buffer);
      }
  }
}

}  // namespace

Activity find_activity(const Program& program, const Flow& flow, const Wishes& wishes) {
  const size_t n = program.buffers.size();
  std::vector<char> depends(n, 0), acts(n, 0);
  for (size_t i = 0; i < n; ++i) {
    const Buffer& b = program.buffers[i];
    const bool in_state = b.kind == BufferKind::state || b.kind == BufferKind::carried;
    depends[i] = in_state ? wishes.state_wanted : b.param >= 0 && wishes.params[b.param];
    acts[i] = in_state ? wishes.state_given : b.kind == BufferKind::learned && wishes.learned[b.param];
  }
  for (const auto& stage : flow.stages)
    for (const FlowOp& op : stage)
      for (const FlowOperand& o : op.operands) {
        if (op.passes && op.input >= 0 && wishes.inputs[op.input] && o.written()) depends[o.operand->buffer] = 1;
        if (op.passes && op.output >= 0 && wishes.outputs[op.output] && o.read()) acts[o.operand->buffer] = 1;
      }
  spread(flow, true, &depends);
  spread(flow, false, &acts);
  Activity activity{std::vector<char>(n), wishes.inputs, wishes.outputs};
  for (size_t i = 0; i < n; ++i) activity.active[i] = depends[i] && acts[i];
  return activity;
}

// ---------------------------------------------------------------- Needs

Needs::Needs(const Program& program, const Flow& flow, const Activity& activity)
    : rows(program.buffers.size(), 0), constant(program.buffers.size(), 0), changing(flow.stages.size()) {
  for (const auto& stage : flow.stages)
    for (const FlowOp& op : stage) {
      if (op.overwrites_earlier >= 0) refuse_lost_values(program, activity, op, op.operands[op.overwrites_earlier]);
      if (!activity.runs(op)) continue;
      if (op.overwrites_input >= 0) refuse_overwritten_input(program, activity, op, op.operands[op.overwrites_input]);
      for (const FlowOperand& o : op.operands)
        if (o.value_needed) need(program, flow, op, o);
    }
  place_pieces(program, flow);
}

// An adjoint in place can't be that of an element both before and behind the op.
void Needs::refuse_overwritten_input(const Program& program, const Activity& activity, const FlowOp& op,
                                     const FlowOperand& o) {
  const int64_t b = o.operand->buffer;
  if (activity.active[b])
    op.record->fail("the program has no gradient: it overwrites elements of buffer '" + program.buffers[b].name +
                    "' in place that its argument '" + *o.name + "' reads");
}

// There is one adjoint for all that a step writes there, and it is that of the last value.
void Needs::refuse_lost_values(const Program& program, const Activity& activity, const FlowOp& op,
                               const FlowOperand& o) {
  const int64_t b = o.operand->buffer;
  if (activity.active[b])
    op.record->fail("the program has no gradient: argument '" + *o.name + "' overwrites elements of buffer '" +
                    program.buffers[b].name + "' that an op before it wrote in the same step: use another buffer");
}

void Needs::need(const Program& program, const Flow& flow, const FlowOp& op, const FlowOperand& o) {
  const int64_t b = o.operand->buffer;
  const std::string what =
      "the program has no gradient: it needs argument '" + *o.name + "' in buffer '" + program.buffers[b].name + "', ";
  if (o.changed_later) op.record->fail(what + "which an op behind it changes in the same step: use another buffer");
  if (!o.in_place) {
    rows[b] = 1;
    return;
  }
  if (flow.changed_in_sequence[b].overlaps(*o.operand))
    op.record->fail(what + "expected a carried buffer, got one that changes in place in a sequence region");
  if (!flow.changed_in_loops[b].overlaps(*o.operand)) {
    constant[b] = 1;
    return;
  }
  if (o.written_later && (o.written_earlier || o.written()))
    op.record->fail(what + "which other ops change in place before and after this one in a step");
  if (o.written_earlier && o.access == Access::update)
    op.record->fail(what + "which another op changes in place before this one updates it");
  rows[b] = 1;
}

void Needs::place_pieces(const Program& program, const Flow& flow) {
  for (size_t b = 0; b < rows.size(); ++b) {
    if (!rows[b] || !in_place(program.buffers[b].kind)) continue;
    Intervals changed;
    for (const auto& [r, elements] : flow.changed_in_loop[b]) {
      if (elements.overlaps(changed))
        throw ProgramError("the program has no gradient: two loop regions change the same elements of buffer '" +
                           program.buffers[b].name + "', whose values it needs");
      for (const auto& [first, last] : elements.all()) {
        changed.add(first, last);
        changing[r].push_back({static_cast<int64_t>(b), first, last - first + 1});
      }
    }
    int64_t next = 0;
    for (const auto& [first, last] : changed.all()) {
      if (first > next) lasting.push_back({static_cast<int64_t>(b), next, first - next});
      next = last + 1;
    }
    if (next < program.buffers[b].size)
      lasting.push_back({static_cast<int64_t>(b), next, program.buffers[b].size - next});
  }
}

}  // namespace nengo_dl
