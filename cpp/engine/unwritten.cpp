#include "engine/unwritten.h"

#include "engine/op_util.h"
#include "engine/validate.h"

namespace nengo_dl {
namespace {

constexpr int64_t kMostRuns = int64_t{1} << 20;  // of elements side by side, in all operands of a program

// Calls f(first, last) for each run of elements side by side, until it returns false; false, too, if there are more
// than may be listed.
template <class F>
bool for_each_run(const Operand& o, int64_t* budget, F&& f) {
  View starts(o);  // without what makes a run
  starts.rank = 0;
  for (size_t i = 0; i < o.shape.size(); ++i) {
    if (o.shape[i] == 1 || o.strides[i] == 0) continue;
    starts.shape[starts.rank] = o.shape[i];
    starts.strides[starts.rank++] = o.strides[i];
  }
  int64_t length = 1;
  for (; starts.rank > 0 && starts.strides[starts.rank - 1] == length; --starts.rank)
    length *= starts.shape[starts.rank - 1];
  int64_t runs = starts.blocks;
  for (int64_t i = 0; i < starts.rank; ++i)
    if (__builtin_mul_overflow(runs, starts.shape[i], &runs)) return false;
  if (o.count() == 0) return true;
  if (runs > *budget) return false;
  *budget -= runs;
  bool go_on = true;
  for (int64_t offset : o.offsets)
    for_each_element(starts, [&](int64_t e) { go_on = go_on && f(offset + e, offset + e + length - 1); });
  return go_on;
}

class Written {
 public:
  explicit Written(const Program& program) : sets_(program.buffers.size()) {}
  void add(const FlowOp& op, const FlowOperand& o) {
    Intervals& set = sets_[o.operand->buffer];
    if (!op.lists_elements(o)) {
      for_each_run(*o.operand, &budget_, [&](int64_t first, int64_t last) { return set.add(first, last), true; });
      return;
    }
    const int64_t count = op.listed_count(o);
    if (count > budget_) return;
    budget_ -= count;
    for (int64_t e : op.written_elements(o)) set.add(e, e);
  }
  bool covers(const Operand& o) {
    const Intervals& set = sets_[o.buffer];
    int64_t lowest, highest;
    extent(o, &lowest, &highest);
    bool good = true;
    for (int64_t offset : o.offsets) good = good && set.covers(offset + lowest, offset + highest);
    return good || for_each_run(o, &budget_, [&](int64_t first, int64_t last) { return set.covers(first, last); });
  }
  bool all_of(int64_t buffer, int64_t size) const { return size == 0 || sets_[buffer].covers(0, size - 1); }

 private:
  std::vector<Intervals> sets_;
  int64_t budget_ = kMostRuns;
};

}  // namespace

std::vector<char> may_read_unwritten(const Program& program, const Flow& flow) {
  std::vector<char> found(program.buffers.size(), 0);
  Written written(program);
  const auto own = [&](const FlowOperand& o) {
    const BufferKind kind = program.buffers[o.operand->buffer].kind;
    return kind == BufferKind::carried || kind == BufferKind::window || kind == BufferKind::local;
  };
  for (const auto& stage : flow.stages)
    for (const FlowOp& op : stage) {
      for (const FlowOperand& o : op.operands) {
        const bool old = program.buffers[o.operand->buffer].kind == BufferKind::carried && o.operand->shift == 0;
        const bool reads = o.access == Access::read || (o.access == Access::inc && !o.overwrites);
        if (own(o) && reads && !old && !written.covers(*o.operand)) found[o.operand->buffer] = 1;
      }
      for (const FlowOperand& o : op.operands)
        if (own(o) && o.written()) written.add(op, o);
    }
  for (size_t i = 0; i < found.size(); ++i)
    if (program.buffers[i].kind == BufferKind::carried && !written.all_of(i, program.buffers[i].size)) found[i] = 1;
  return found;
}

}  // namespace nengo_dl
