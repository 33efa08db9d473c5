#include "engine/facts.h"

#include <algorithm>

#include "engine/kind.h"
#include "engine/slice.h"
#include "engine/unwritten.h"

namespace nengo_dl {
namespace {

// Of weights that ops outside of loops multiply with.
int64_t largest_matrix(const Program& program) {
  int64_t largest = 0;
  for (const Region& region : program.regions)
    for (const OpRecord& op : region.ops)
      for (const auto& [name, operand] : op.args)
        if (const Buffer& buffer = program.buffers[operand.buffer];
            region.kind == RegionKind::sequence && buffer.kind == BufferKind::param &&
            (operand.shape.size() == 2 || name == find_kind(op.kind).matrix))
          largest = std::max(largest, buffer.size);
  return largest;
}

}  // namespace

Facts::Facts(const Program& program, uint64_t fingerprint)
    : program(program),
      fingerprint(fingerprint),
      flow(program),
      unwritten(may_read_unwritten(program, flow)),
      matrix(largest_matrix(program)) {
  std::vector<int64_t> changed;  // in running order
  double weights = 0, uses = 0;
  for (const auto& stage : flow.stages)
    for (const FlowOp& op : stage) {
      for (const FlowOperand& o : op.operands) {
        const double elements = static_cast<double>(o.operand->count()) * static_cast<double>(op.record->blocks);
        work += elements;
        if (program.buffers[o.operand->buffer].kind == BufferKind::param)
          weights += elements, uses += elements * (op.kind->uses ? op.kind->uses(*op.record) : 1);
        if (o.written() && o.in_place) changed.push_back(o.operand->buffer);
      }
      parts += static_cast<double>(std::min(part_count(*op.record), op.record->blocks * kEnoughPieces));
      if (op.kind->edge == Edge::python) {
        calls_python = true, undo = changed;
        functions = std::max(functions, op.record->integer("index") + 1);
      }
    }
  if (weights > 0) weight_uses = uses / weights;
  std::sort(undo.begin(), undo.end());
  undo.erase(std::unique(undo.begin(), undo.end()), undo.end());
}

}  // namespace nengo_dl
