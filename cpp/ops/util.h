// Helpers of the ops in this folder.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/op_util.h"
#include "engine/scratch.h"

namespace nengo_dl {

// Runs: blocks of 1-D operands that lie one behind the other, joined so that a kernel sees few long vectors.
struct Run {
  int64_t block;                // the first one
  int64_t n;                    // elements
  std::vector<int64_t> offset;  // per operand
  std::vector<int64_t> stride;
};

// The operands all have shape (n) or, if n is 1, (). `joinable(k)`: block k may follow block k-1 in one run.
std::vector<Run> make_runs(const std::vector<const Operand*>& operands, int64_t blocks,
                           const std::function<bool(int64_t)>& joinable);

// Stride of a dimension; 0 for one that a scalar doesn't have.
NDL_BOTH inline int64_t stride_of(const View& o, int64_t dim) { return dim < o.rank ? o.strides[dim] : 0; }

// Fails unless a generator of kGeneratorWords words fits into the integer state at attribute `rng`.
void check_generator(const OpRecord& op, const Program& program);
// Fails unless attribute `key` is 0 or 1.
void check_flag(const OpRecord& op, const std::string& key);

}  // namespace nengo_dl
