// Runs: blocks of 1-D operands that lie one behind the other, joined so that a kernel sees few long vectors.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/op_util.h"

namespace nengo_dl {

struct Run {
  int64_t block;                 // the first one
  int64_t n;                     // elements
  std::vector<int64_t> offset;   // per operand
  std::vector<int64_t> stride;
};

// The operands all have shape (n) or, if n is 1, (). `joinable(k)`: block k may follow block k-1 in one run.
inline std::vector<Run> make_runs(const std::vector<const Operand*>& operands, int64_t blocks,
                                  const std::function<bool(int64_t)>& joinable) {
  const int64_t n = operands[0]->count();
  std::vector<Run> runs;
  int64_t joined = 0;  // blocks in the last run
  for (int64_t k = 0; k < blocks; k++) {
    bool join = k > 0 && joinable(k);
    for (size_t i = 0; join && i < operands.size(); i++) {
      const int64_t due = n == 1 && joined == 1 ? operands[i]->offsets[k] - runs.back().offset[i]
                                                : n * runs.back().stride[i];
      join = operands[i]->offsets[k] - operands[i]->offsets[k - 1] == due;
    }
    if (join) {
      if (n == 1 && joined == 1)
        for (size_t i = 0; i < operands.size(); i++) runs.back().stride[i] = operands[i]->offsets[k] - runs.back().offset[i];
      runs.back().n += n;
      joined++;
      continue;
    }
    Run run{k, n, {}, {}};
    for (const Operand* o : operands) {
      run.offset.push_back(o->offsets[k]);
      run.stride.push_back(o->strides.empty() || n == 1 ? 1 : o->strides[0]);
    }
    runs.push_back(run);
    joined = 1;
  }
  return runs;
}

// Fails unless a state generator of kGeneratorWords words fits at attribute `rng`.
void check_generator(const OpRecord& op, const Program& program);
// Fails unless attribute `key` is 0 or 1.
void check_flag(const OpRecord& op, const std::string& key);
// Fails unless the op has one block only.
void check_one_block(const OpRecord& op);

}  // namespace nengo_dl
