// What a wide loop is planned from: the blocks of its ops, element by element, and what stays together.
#pragma once

#include <array>
#include <vector>

#include "cuda/wide_loop.h"
#include "engine/backend.h"

namespace nengo_dl {
namespace cuda {

struct NotWide {};  // thrown where a region has what a wide loop doesn't do

inline void need_wide(bool good) {
  if (!good) throw NotWide{};
}

// Elements of a buffer, one for each element of a part.
struct WideArg {
  int64_t buffer = -1, shift = 0;
  std::vector<int64_t> at;
  bool there() const { return buffer >= 0; }
};

// A block of an op. For products an element is a row.
struct WidePart {
  Wide kind;
  const OpRecord* op;
  size_t number;  // of the op
  int64_t block;
  bool set = true;
  int outs = 1;                         // none of an output: args[0] is what is put out
  std::array<WideArg, kWideNear> args;  // as in WideOp::near
  WideArg x;                            // of a product: what all rows read
  WideArg weights;                      // of a dense product: the rows of A
  int64_t a_step = 1;
  int64_t count() const { return static_cast<int64_t>(args[0].at.size()); }
};

// `op_args` of the kinds that a wide loop runs; NotWide for others.
std::vector<WidePart> wide_parts(const std::vector<LoopOp>& ops, const Program& program);

}  // namespace cuda
}  // namespace nengo_dl
