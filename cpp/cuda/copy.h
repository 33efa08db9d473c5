// fill, copy (whole or by index lists) and elementwise products.
#pragma once

#include <optional>

#include "cuda/kernel.h"
#include "cuda/place.h"

namespace nengo_dl {
namespace cuda {

template <class T>
struct FillOp : PlainOp {
  Place dst;
  const T* values;

  FillOp(const OpRecord& op, const Program&, Tables& tables)
      : dst(op.arg("dst"), tables), values(tables.add_as<T>(op.per_block("value"))) {}

  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return dst.work(f, steps);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    dst.put(f, t0, t1, i, team, true, [&](int64_t, int64_t, int64_t k, int64_t) { return values[k]; });
  }
};

template <class T>
struct CopyOp : PlainOp {
  static constexpr int back_phases = 1;
  Place src, dst;
  bool set, shared;  // shared: src is in a param buffer

  CopyOp(const OpRecord& op, const Program& p, Tables& tables) : set(op.set()), shared(in_param(op.arg("src"), p)) {
    std::optional<std::vector<int64_t>> from, to;
    if (op.has("src_index") || op.has("dst_index"))
      from = listed(op, "src_index", op.arg("src")), to = listed(op, "dst_index", op.arg("dst"));
    src = Place(op.arg("src"), tables, from ? &*from : nullptr);
    dst = Place(op.arg("dst"), tables, to ? &*to : nullptr);
  }

  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return dst.work(f, steps);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    dst.put(f, t0, t1, i, team, set,
            [&](int64_t t, int64_t b, int64_t k, int64_t c) { return src.view.at(f, t, b)[src.offset(k, c)]; });
  }
  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    const bool asked = f.adjoint.base[src.view.buffer] && f.adjoint.base[dst.view.buffer];
    return asked && shared == (pass == Pass::params) ? src.work(f.adjoint, steps) : 0;
  }
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass, int64_t i, const Team& team) const {
    src.add(f.adjoint, t0, t1, i, team,
            [&](int64_t t, int64_t b, int64_t k, int64_t c) { return dst.view.at(f.adjoint, t, b)[dst.offset(k, c)]; });
  }
  NDL_HD bool back_teams(int) const { return shared; }

 private:
  static std::vector<int64_t> listed(const OpRecord& op, const char* key, const Operand& o) {
    std::vector<int64_t> at;
    if (op.has(key)) {
      at = op.integers(key);
    } else {
      at.resize(o.count());
      std::iota(at.begin(), at.end(), 0);
    }
    for (int64_t& e : at) e *= o.strides.empty() ? 0 : o.strides[0];
    return at;
  }
};

template <class T>
struct ElementwiseOp : PlainOp {
  static constexpr int back_phases = 2;  // A, X
  Place factor[2], y;
  bool set, shared[2];  // shared: in a param buffer

  ElementwiseOp(const OpRecord& op, const Program& p, Tables& tables)
      : factor{Place(op.arg("A"), tables), Place(op.arg("X"), tables)},
        y(op.arg("Y"), tables),
        set(op.set()),
        shared{in_param(op.arg("A"), p), in_param(op.arg("X"), p)} {}

  NDL_HD T at(const Place& o, const Frame<T>& f, int64_t t, int64_t b, int64_t k, int64_t c) const {
    return o.view.at(f, t, b)[o.offset(k, c)];
  }
  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return y.work(f, steps);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    y.put(f, t0, t1, i, team, set, [&](int64_t t, int64_t b, int64_t k, int64_t c) {
      return at(factor[0], f, t, b, k, c) * at(factor[1], f, t, b, k, c);
    });
  }
  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    const bool asked = f.adjoint.base[factor[P].view.buffer] && f.adjoint.base[y.view.buffer];
    return asked && shared[P] == (pass == Pass::params) ? factor[P].work(f.adjoint, steps) : 0;
  }
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass, int64_t i, const Team& team) const {
    factor[P].add(f.adjoint, t0, t1, i, team, [&](int64_t t, int64_t b, int64_t k, int64_t c) {
      return at(factor[1 - P], f.value, t, b, k, c) * at(y, f.adjoint, t, b, k, c);
    });
  }
  NDL_HD bool back_teams(int phase) const { return shared[phase]; }
};

}  // namespace cuda
}  // namespace nengo_dl
