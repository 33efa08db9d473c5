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
  std::vector<int64_t> shape, strides;
  for (size_t i = 0; i < o.shape.size(); ++i) {
    const bool once = o.shape[i] == 1 || o.strides[i] == 0;
    if (!once) shape.push_back(o.shape[i]), strides.push_back(o.strides[i]);
  }
  int64_t length = 1;
  while (!shape.empty() && strides.back() == length) {
    length *= shape.back();
    shape.pop_back(), strides.pop_back();
  }
  int64_t runs = static_cast<int64_t>(o.offsets.size());
  for (int64_t n : shape)
    if (__builtin_mul_overflow(runs, n, &runs)) return false;
  if (o.count() == 0) return true;
  if (runs > *budget) return false;
  *budget -= runs;
  bool go_on = true;
  for (int64_t offset : o.offsets)
    for_each_element(shape, strides, [&](int64_t e) { go_on = go_on && f(offset + e, offset + e + length - 1); });
  return go_on;
}

class Written {
 public:
  explicit Written(const Program& program) : sets_(program.buffers.size()) {}
  void add(const OpRecord& op, const Operand& o) {
    Intervals& set = sets_[o.buffer];
    if (op.attrs.count("dst_index")) {  // only these elements
      for (int64_t offset : o.offsets)
        for (int64_t i : op.integers("dst_index")) set.add(offset + i * o.strides[0], offset + i * o.strides[0]);
      return;
    }
    for_each_run(o, &budget_, [&](int64_t first, int64_t last) { return set.add(first, last), true; });
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
        if (own(o) && o.written()) written.add(*op.record, *o.operand);
    }
  for (size_t i = 0; i < found.size(); ++i)
    if (program.buffers[i].kind == BufferKind::carried && !written.all_of(i, program.buffers[i].size)) found[i] = 1;
  return found;
}

}  // namespace nengo_dl
