#include "engine/backward.h"

namespace nengo_dl {
namespace {

// Whether the elements of an operand are those of its buffer, each once.
bool is_whole(const Operand& o, int64_t size) {
  if (static_cast<int64_t>(o.offsets.size()) * o.count() != size) return false;
  int64_t next = 1;  // the distance that elements of this dimension have if all lie side by side
  for (size_t i = o.shape.size(); i-- > 0; next *= o.shape[i])
    if (o.shape[i] != 1 && o.strides[i] != next) return false;
  for (size_t k = 0; k < o.offsets.size(); ++k)
    if (o.offsets[k] != static_cast<int64_t>(k) * next) return false;
  return true;
}

}  // namespace

template <class T>
BackPlan<T>::BackPlan(const Schedule<T>& schedule, const Activity& activity, const TapeLayout& tape,
                      const Wishes& wishes, const std::vector<char>& keep_last)
    : active(activity.active) {
  const Program& program = schedule.facts.program;
  const Flow& flow = schedule.facts.flow;
  const std::vector<char> changing = changing_adjoints(flow, activity);
  for (size_t r = 0; r < schedule.stages.size(); ++r) {
    const Stage<T>& stage = schedule.stages[r];
    parts.emplace_back();
    parts.back().loop = stage.loop;
    for (size_t i = 0; i < stage.ops.size(); ++i) {
      const FlowOp& flow_op = flow.stages[r][i];
      BackOp<T> op = make_op(program, changing, activity, flow_op, stage.loop);
      op.op = stage.ops[i].get();
      op.only_last = flow_op.output >= 0 && keep_last[flow_op.output];
      op.number = i;
      if (op.passes || op.params || !op.clearings.empty()) parts.back().ops.push_back(std::move(op));
    }
    add_whole(schedule, r, &parts.back());
  }
  find_single_readers(schedule);
  const int64_t line = kTapeAlign / static_cast<int64_t>(sizeof(T));
  for (size_t i = 0; i < program.buffers.size(); ++i) {
    const Buffer& b = program.buffers[i];
    const bool elsewhere = b.kind == BufferKind::param || (b.kind == BufferKind::learned && wishes.params[b.param]);
    place.push_back(active[i] && !elsewhere ? size : -1);
    if (place.back() < 0) continue;
    const int64_t rows = in_place(b.kind) || held[i] ? 1 : tape.geometry.window + (b.kind == BufferKind::carried);
    int64_t elements;
    if (__builtin_mul_overflow(rows, tape.geometry.group, &elements) ||
        __builtin_mul_overflow(elements, b.size, &elements) || __builtin_add_overflow(size, elements, &size) ||
        size > INT64_MAX / 2)
      throw std::runtime_error("the adjoints of this program are larger than memory can be ('" + b.name + "')");
    size = (size + line - 1) / line * line;
  }
}

template <class T>
void BackPlan<T>::add_whole(const Schedule<T>& schedule, size_t region, Part* part) const {
  std::vector<LoopOp> ops;
  for (const BackOp<T>& op : part->ops) {
    if (op.only_last) return;
    ops.push_back({schedule.facts.flow.stages[region][op.number].compiled, op.passes, op.params_each_step});
    for (const Clearing& c : op.clearings) ops.back().cleared.emplace_back(c.operand, &c.elements);
  }
  if (part->loop && schedule.fuse && !ops.empty()) part->whole = schedule.make_loop_back(ops);
}

// Finds adjoints that one op alone adds to: those from step to step need no rows, others need not be cleared.
template <class T>
void BackPlan<T>::find_single_readers(const Schedule<T>& schedule) {
  const Program& program = schedule.facts.program;
  const Flow& flow = schedule.facts.flow;
  held.assign(active.size(), 0), unset.assign(active.size(), 0);
  std::vector<int64_t> readers(active.size(), 0);
  for (const auto& stage : flow.stages)
    for (const FlowOp& op : stage)
      for (const FlowOperand& o : op.operands) readers[o.operand->buffer] += o.read();
  for (size_t r = 0; r < parts.size(); ++r)
    for (const BackOp<T>& op : parts[r].ops)
      for (const FlowOperand& o : flow.stages[r][op.number].operands) {
        const int64_t b = o.operand->buffer;
        const BufferKind kind = program.buffers[b].kind;
        const bool alone = active[b] && op.passes && readers[b] == 1;
        if (alone && kind == BufferKind::carried && o.access == Access::update && flow.uses[b] == 1)
          held[b] = !op.params;
        if (alone && (kind == BufferKind::window || kind == BufferKind::local) && o.access == Access::read)
          unset[b] =
              !parts[r].whole && !op.only_last && op.op->sets(b) && is_whole(*o.operand, program.buffers[b].size);
      }
}

// Per buffer: whether the way back through a step changes its adjoint in place other than by adding what its readers
// contribute, or hands it on: then contributions must come at their step.
template <class T>
std::vector<char> BackPlan<T>::changing_adjoints(const Flow& flow, const Activity& activity) {
  std::vector<char> changing(activity.active.size(), 0);
  for (const auto& stage : flow.stages)
    for (const FlowOp& op : stage)
      for (const FlowOperand& o : op.operands)
        if (o.written() && (o.overwrites || o.access == Access::update || activity.runs(op)))
          changing[o.operand->buffer] = 1;
  return changing;
}

template <class T>
BackOp<T> BackPlan<T>::make_op(const Program& program, const std::vector<char>& changing, const Activity& activity,
                               const FlowOp& op, bool loop) {
  BackOp<T> back{};
  back.passes = activity.runs(op);
  bool writes_in_place = false, overwrites_in_place = false;
  for (const FlowOperand& o : op.operands) {
    const int64_t b = o.operand->buffer;
    if (!activity.active[b]) continue;
    const BufferKind kind = program.buffers[b].kind;
    if (back.passes && o.read() && (kind == BufferKind::param || kind == BufferKind::learned)) {
      back.params = true;
      if (kind == BufferKind::learned && changing[b]) back.params_each_step = true;
    }
    if (!o.written() || !o.in_place) continue;
    writes_in_place = true;
    const bool cleared = o.overwrites || (o.access == Access::update && !back.passes);
    if (!cleared) continue;
    overwrites_in_place = true;
    back.clearings.push_back({View(*o.operand), op.written_elements(o)});
  }
  back.params_each_step = back.params && (back.params_each_step || writes_in_place);
  back.step_by_step = !loop && back.passes && (overwrites_in_place || back.params_each_step);
  return back;
}

template struct BackPlan<float>;
template struct BackPlan<double>;

}  // namespace nengo_dl
