#include "engine/facts.h"

#include <algorithm>

#include "engine/slice.h"
#include "engine/unwritten.h"

namespace nengo_dl {

Facts::Facts(const Program& program, uint64_t fingerprint)
    : program(program), fingerprint(fingerprint), flow(program), unwritten(may_read_unwritten(program, flow)) {
  std::vector<int64_t> changed;  // in running order
  for (const auto& stage : flow.stages)
    for (const FlowOp& op : stage) {
      for (const FlowOperand& o : op.operands) {
        work += static_cast<double>(o.operand->count()) * static_cast<double>(op.record->blocks);
        if (o.written() && o.in_place) changed.push_back(o.operand->buffer);
      }
      parts += static_cast<double>(part_count(*op.record));
      if (op.kind->edge == Edge::python) {
        calls_python = true, undo = changed;
        functions = std::max(functions, op.record->integer("index") + 1);
      }
    }
  std::sort(undo.begin(), undo.end());
  undo.erase(std::unique(undo.begin(), undo.end()), undo.end());
}

}  // namespace nengo_dl
