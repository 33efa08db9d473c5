// What connects a program with the outside: time, model inputs, model outputs.
#pragma once

#include "cuda/kernel.h"
#include "cuda/place.h"

namespace nengo_dl {
namespace cuda {

template <class T>
struct TimeOp : PlainOp {
  static constexpr int phases = 2;
  Place time, step;
  bool has_step;

  TimeOp(const OpRecord& op, const Program&, Tables& tables)
      : time(op.arg("time"), tables), has_step(op.find_arg("step") != nullptr) {
    if (has_step) step = Place(op.arg("step"), tables);
  }
  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return P == 0 ? time.work(f, steps) : has_step ? step.work(f, steps) : 0;
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    const Place& to = P == 0 ? time : step;
    to.put(f, t0, t1, i, team, true, [&](int64_t t, int64_t, int64_t, int64_t) {
      const double n = static_cast<double>(f.first_step + t + 1);
      return static_cast<T>(P == 0 ? n * f.dt : n);  // as Nengo: the product in double precision, then rounded
    });
  }
};

template <class T>
struct InputOp : PlainOp {
  static constexpr int back_phases = 1;
  Place dst;
  int64_t index;

  InputOp(const OpRecord& op, const Program&, Tables& tables)
      : dst(op.arg("dst"), tables), index(op.integer("index")) {}

  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return dst.work(f, steps);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    const T* const rows = f.inputs[index];
    const int64_t kept = f.input_steps[index];
    dst.put(f, t0, t1, i, team, true,
            [&](int64_t t, int64_t b, int64_t, int64_t c) { return rows[(b * kept + f.offset + t) * dst.size + c]; });
  }
  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    const bool asked = f.input_grads[index] && f.adjoint.base[dst.view.buffer] && pass == Pass::values;
    return asked ? steps * f.adjoint.batch * dst.size : 0;
  }
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t t0, int64_t, Pass, int64_t i, const Team& team) const {
    Digits digits{i};
    const int64_t c = digits.take(dst.size), b = digits.take(f.adjoint.batch), t = t0 + digits.rest;
    if (team.lane != 0) return;
    f.input_grads[index][(b * f.value.input_steps[index] + f.value.offset + t) * dst.size + c] +=
        dst.view.at(f.adjoint, t, b)[dst.offset(0, c)];
  }
};

template <class T>
struct OutputOp : PlainOp {
  static constexpr int back_phases = 1;
  Place src;
  int64_t index;
  bool shared;  // src is in a param buffer

  OutputOp(const OpRecord& op, const Program& p, Tables& tables)
      : src(op.arg("src"), tables), index(op.integer("index")), shared(in_param(op.arg("src"), p)) {}

  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return (kept(f.output_steps) == 1 ? 1 : steps) * f.batch * src.size;
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    const int64_t rows = kept(f.output_steps);
    const bool last_only = rows == 1;
    Digits digits{i};
    const int64_t c = digits.take(src.size), b = digits.take(f.batch), t = last_only ? t1 - 1 : t0 + digits.rest;
    if (team.lane != 0 || (last_only && t1 != f.steps)) return;  // a run ends with a window
    f.outputs[index][(b * rows + (last_only ? 0 : f.offset + t)) * src.size + c] =
        src.view.at(f, t, b)[src.offset(0, c)];
  }
  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    const bool asked = f.output_grads[index] && f.adjoint.base[src.view.buffer];
    return asked && shared == (pass == Pass::params) ? src.work(f.adjoint, steps) : 0;
  }
  // The engine leaves out the steps of which no row is kept.
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass, int64_t i, const Team& team) const {
    const T* const rows = f.output_grads[index];
    const int64_t steps = kept(f.value.output_steps);
    src.add(f.adjoint, t0, t1, i, team, [&](int64_t t, int64_t b, int64_t, int64_t c) {
      return rows[(b * steps + (steps == 1 ? 0 : f.value.offset + t)) * src.size + c];
    });
  }
  NDL_HD bool back_teams(int) const { return shared; }

 private:
  NDL_HD int64_t kept(const int64_t* output_steps) const { return output_steps[index]; }
};

}  // namespace cuda
}  // namespace nengo_dl
