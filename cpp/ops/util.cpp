#include "ops/util.h"

#include "engine/random.h"

namespace nengo_dl {
namespace {

// May block k of the operand follow the block before it in a run?
bool follows(const Operand& o, int64_t k, int64_t distance) { return o.offsets[k] - o.offsets[k - 1] == distance; }

}  // namespace

std::vector<Run> make_runs(const std::vector<const Operand*>& operands, int64_t blocks,
                           const std::function<bool(int64_t)>& joinable) {
  const int64_t n = operands[0]->count();
  std::vector<Run> runs;
  int64_t joined = 0;  // blocks in the last run
  for (int64_t k = 0; k < blocks; k++) {
    bool join = k > 0 && joinable(k);
    // blocks of one element have no stride of their own: the first two of a run make it
    const bool free_stride = n == 1 && joined == 1;
    for (size_t i = 0; join && i < operands.size(); i++)
      join = free_stride || follows(*operands[i], k, n * runs.back().stride[i]);
    if (!join) {
      Run run{k, n, {}, {}};
      for (const Operand* o : operands) {
        run.offset.push_back(o->offsets[k]);
        run.stride.push_back(o->strides.empty() || n == 1 ? 1 : o->strides[0]);
      }
      runs.push_back(run);
      joined = 1;
      continue;
    }
    if (free_stride)
      for (size_t i = 0; i < operands.size(); i++)
        runs.back().stride[i] = operands[i]->offsets[k] - operands[i]->offsets[k - 1];
    runs.back().n += n;
    joined++;
  }
  return runs;
}

void check_generator(const OpRecord& op, const Program& program) {
  const int64_t rng = op.integer("rng");
  if (rng < 0 || rng > program.istate_size - kGeneratorWords)
    op.fail("attribute 'rng': expected a place for " + std::to_string(kGeneratorWords) + " words within the " +
            std::to_string(program.istate_size) + " of the integer state, got " + std::to_string(rng));
}

void check_flag(const OpRecord& op, const std::string& key) {
  const int64_t value = op.integer(key);
  if (value != 0 && value != 1) op.fail("attribute '" + key + "': expected 0 or 1, got " + std::to_string(value));
}

}  // namespace nengo_dl
