// noise: numbers drawn in every step, as NumPy's RandomState draws them. A thread takes an item through all steps.
#pragma once

#include "cuda/kernel.h"
#include "engine/twister.h"
#include "ops/util.h"

namespace nengo_dl {
namespace cuda {

template <class T>
struct NoiseOp : PlainOp {
  View dst;
  int64_t n, rng;
  bool set, gaussian;
  double scale, base, range;

  NoiseOp(const OpRecord& op, const Program&, Tables& tables)
      : dst(tables.view(op.arg("dst"))),
        n(op.arg("dst").count()),
        rng(op.integer("rng")),
        set(op.set()),
        gaussian(op.text("dist") == "gaussian"),
        scale(op.number("scale")),
        base(op.number(gaussian ? "mean" : "low")),
        range(gaussian ? op.number("std") : op.number("high") - base) {}

  int64_t length(int) const { return 1 + n / kDraws; }
  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t) const {
    return f.batch;
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t b, const Team& team) const {
    if (team.lane != 0) return;
    const Twister random{f.istate + b * f.istate_item + rng};
    const int64_t stride = stride_of(dst, 0);
    for (int64_t t = t0; t < t1; ++t) {
      T* const to = dst.at(f, t, b) + dst.block(0);
      for (int64_t c = 0; c < n; ++c) {
        const double value = (base + range * (gaussian ? random.gauss() : random.sample())) * scale;
        to[c * stride] = static_cast<T>(set ? value : to[c * stride] + value);
      }
    }
  }
};

}  // namespace cuda
}  // namespace nengo_dl
