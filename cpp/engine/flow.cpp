// Flow: which op writes what before which other reads it. Activity: between what is wanted and what is given. Needs:
// the values that must be recorded.
#include "engine/flow.h"

#include "engine/op_util.h"
#include "engine/validate.h"

namespace nengo_dl {
namespace {

constexpr int64_t kElementBudget = int64_t{1} << 24;  // of a program, for what intervals can't tell

// Of all blocks, in ascending order; false if there are too many to list.
bool list_elements(const Operand& operand, int64_t* budget, std::vector<int64_t>* elements) {
  View o(operand);
  for (int64_t i = 0; i < o.rank; ++i)
    if (o.strides[i] == 0) o.shape[i] = 1;
  int64_t count;
  if (__builtin_mul_overflow(o.count(), o.blocks, &count) || count > *budget) return false;
  *budget -= count;
  for (int64_t k = 0; k < o.blocks; ++k) for_each_element(o, [&](int64_t e) { elements->push_back(o.offsets[k] + e); });
  std::sort(elements->begin(), elements->end());
  return true;
}

bool share_elements(const Operand& a, const Operand& b, int64_t* budget) {
  Intervals of_a;
  of_a.add(a);
  if (!of_a.overlaps(b)) return false;
  std::vector<int64_t> ours, theirs;
  if (!list_elements(a, budget, &ours) || !list_elements(b, budget, &theirs)) return true;
  for (size_t i = 0, k = 0; i < ours.size() && k < theirs.size(); ours[i] < theirs[k] ? ++i : ++k)
    if (ours[i] == theirs[k]) return true;
  return false;
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

Flow::Flow(const Program& program) : changed_in_sequence(program.buffers.size()) {
  for (const Region& region : program.regions) {
    stages.emplace_back();
    changed_in_loop.emplace_back();
    for (const OpRecord& record : region.ops) {
      add_op(program, record, &stages.back());
      for (const FlowOperand& o : stages.back().back().operands) {
        if (!o.in_place || !o.written()) continue;
        const int64_t b = o.operand->buffer;
        (region.kind == RegionKind::loop ? changed_in_loop.back()[b] : changed_in_sequence[b]).add(*o.operand);
      }
    }
  }
  order_writers(program.buffers.size());
  find_overwritten_inputs();
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

void Flow::find_overwritten_inputs() {
  int64_t budget = kElementBudget;
  for (auto& stage : stages)
    for (FlowOp& op : stage)
      for (const FlowOperand& w : op.operands)
        for (size_t i = 0; i < op.operands.size(); ++i) {
          const FlowOperand& o = op.operands[i];
          if (w.in_place && (w.overwrites || w.access == Access::update) && o.access == Access::read &&
              o.operand->buffer == w.operand->buffer && share_elements(*w.operand, *o.operand, &budget))
            op.overwrites_input = static_cast<int>(i);
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

Activity find_activity(const Program& program, const Flow& flow, const Wishes& wishes) {
  const size_t n = program.buffers.size();
  std::vector<char> depends(n, 0), acts(n, 0);
  for (size_t i = 0; i < n; ++i) {
    const Buffer& b = program.buffers[i];
    const bool in_state = b.kind == BufferKind::state || b.kind == BufferKind::carried;
    depends[i] = in_state ? wishes.state_wanted : b.param >= 0 && wishes.params[b.param];
    acts[i] = in_state ? wishes.state_given : b.kind == BufferKind::learned && wishes.learned[b.param];
  }
  // each in the direction in which it spreads, again for what comes round by way of the next step
  bool changed = true;
  auto mark = [&](std::vector<char>& marks, int64_t b) {
    if (!marks[b]) marks[b] = 1, changed = true;
  };
  auto visit_depends = [&](const FlowOp& op) {
    bool from = op.input >= 0 && wishes.inputs[op.input];
    for (const FlowOperand& o : op.operands) from = from || (o.read() && depends[o.operand->buffer]);
    for (const FlowOperand& o : op.operands)
      if (from && o.written()) mark(depends, o.operand->buffer);
  };
  auto visit_acts = [&](const FlowOp& op) {
    bool to = op.output >= 0 && wishes.outputs[op.output];
    for (const FlowOperand& o : op.operands) to = to || (o.written() && acts[o.operand->buffer]);
    for (const FlowOperand& o : op.operands)
      if (to && o.read()) mark(acts, o.operand->buffer);
  };
  while (changed) {
    changed = false;
    for (const auto& stage : flow.stages)
      for (const FlowOp& op : stage)
        if (op.passes) visit_depends(op);
  }
  changed = true;
  while (changed) {
    changed = false;
    for (auto stage = flow.stages.rbegin(); stage != flow.stages.rend(); ++stage)
      for (auto op = stage->rbegin(); op != stage->rend(); ++op)
        if (op->passes) visit_acts(*op);
  }
  Activity activity{std::vector<char>(n), wishes.inputs, wishes.outputs};
  for (size_t i = 0; i < n; ++i) activity.active[i] = depends[i] && acts[i];
  return activity;
}

// ---------------------------------------------------------------- Needs

Needs::Needs(const Program& program, const Flow& flow, const Activity& activity)
    : rows(program.buffers.size(), 0), constant(program.buffers.size(), 0), changing(flow.stages.size()) {
  for (const auto& stage : flow.stages)
    for (const FlowOp& op : stage) {
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

void Needs::need(const Program& program, const Flow& flow, const FlowOp& op, const FlowOperand& o) {
  const int64_t b = o.operand->buffer;
  if (!o.in_place) {
    rows[b] = 1;
    return;
  }
  const std::string what =
      "the program has no gradient: it needs argument '" + *o.name + "' in buffer '" + program.buffers[b].name + "', ";
  if (flow.changed_in_sequence[b].overlaps(*o.operand))
    op.record->fail(what + "expected a carried buffer, got one that changes in place in a sequence region");
  bool changes = false;
  for (const auto& stage : flow.changed_in_loop) {
    auto it = stage.find(b);
    changes = changes || (it != stage.end() && it->second.overlaps(*o.operand));
  }
  if (!changes) {
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
    for (size_t r = 0; r < flow.stages.size(); ++r) {
      auto it = flow.changed_in_loop[r].find(b);
      if (it == flow.changed_in_loop[r].end()) continue;
      if (it->second.overlaps(changed))
        throw ProgramError("the program has no gradient: two loop regions change the same elements of buffer '" +
                           program.buffers[b].name + "', whose values it needs");
      for (const auto& [first, last] : it->second.all()) {
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
