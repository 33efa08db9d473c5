// What the kernels of `filter` share.
#pragma once

#include <vector>

#include "engine/program.h"

namespace nengo_dl {

// X' = A X + B x, and y = E.X + F x also if y is made from X' (then E = C A, F = D + C.B).
struct FilterOutput {
  std::vector<double> E;
  double F;

  explicit FilterOutput(const OpRecord& op) : E(op.numbers("C")), F(op.number("D")) {
    if (op.integer("direct") != 0) return;
    const std::vector<double>&A = op.numbers("A"), &B = op.numbers("B"), &C = op.numbers("C");
    E.assign(C.size(), 0);
    for (size_t l = 0; l < C.size(); l++) {
      F += C[l] * B[l];
      for (size_t k = 0; k < C.size(); k++) E[k] += C[l] * A[l * C.size() + k];
    }
  }
};

}  // namespace nengo_dl
