// Sums of products: Y (+)= A.X (+ bias).
#pragma once

#include "cuda/kernel.h"
#include "cuda/place.h"
#include "ops/util.h"

namespace nengo_dl {
namespace cuda {

template <class T>
struct DenseOp : PlainOp {
  static constexpr bool knows_teams = true;
  static constexpr int back_phases = 3;  // X, A, bias
  static constexpr int64_t kLong = 32;   // sums that a team takes
  Place a, x, y, bias;
  int64_t m, n, a_i, a_j, x_j, y_i;
  bool set, has_bias, shared_a, shared_x, shared_bias;  // shared: in a param buffer

  DenseOp(const OpRecord& op, const Program& p, Tables& tables)
      : a(op.arg("A"), tables),
        x(op.arg("X"), tables),
        y(op.arg("Y"), tables),
        m(op.arg("A").shape[0]),
        n(op.arg("A").shape[1]),
        a_i(op.arg("A").strides[0]),
        a_j(op.arg("A").strides[1]),
        x_j(stride_of(x.view, 0)),
        y_i(stride_of(y.view, 0)),
        set(op.set()),
        has_bias(op.find_arg("bias") != nullptr),
        shared_a(in_param(op.arg("A"), p)),
        shared_x(in_param(op.arg("X"), p)),
        shared_bias(has_bias && in_param(op.arg("bias"), p)) {
    if (has_bias) bias = Place(op.arg("bias"), tables);
  }

  NDL_HD bool teams(int) const { return n >= kLong; }
  int64_t length(int) const { return 1 + n / (n >= kLong ? 32 * 16 : 16); }
  int64_t back_length(int phase) const { return phase == 0 ? 1 + m / 16 : 1; }
  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return y.work(f, steps);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    y.put(f, t0, t1, i, team, set, [&](int64_t t, int64_t b, int64_t k, int64_t row) {
      const T* A = a.view.at(f, t, b) + a.view.block(k) + row * a_i;
      const T* X = x.view.at(f, t, b) + x.view.block(k);
      T sum = 0;
      NDL_UNROLL_SUM
      for (int64_t j = team.lane; j < n; j += team.size) sum = device::fma(A[j * a_j], X[j * x_j], sum);
      sum = team.sum(sum);
      return has_bias ? sum + bias.view.at(f, t, b)[bias.offset(k, row)] : sum;
    });
  }

  // Phase 0: X gets A^T dY. Phase 1: A gets dY X^T. Phase 2: the bias gets dY.
  NDL_HD const Place& target(int phase) const { return phase == 0 ? x : phase == 1 ? a : bias; }
  NDL_HD bool shared(int phase) const { return phase == 0 ? shared_x : phase == 1 ? shared_a : shared_bias; }
  NDL_HD bool back_teams(int phase) const { return shared(phase); }
  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    if (P == 2 && !has_bias) return 0;
    const bool asked = f.adjoint.base[target(P).view.buffer] && f.adjoint.base[y.view.buffer];
    return asked && shared(P) == (pass == Pass::params) ? target(P).work(f.adjoint, steps) : 0;
  }
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass, int64_t i, const Team& team) const {
    target(P).add(f.adjoint, t0, t1, i, team, [&](int64_t t, int64_t b, int64_t k, int64_t c) {
      const T* dY = y.view.at(f.adjoint, t, b) + y.view.block(k);
      if (P == 2) return dY[c * y_i];
      if (P == 1) {
        Digits digits{c};
        const int64_t j = digits.take(n);
        return dY[digits.rest * y_i] * x.view.at(f.value, t, b)[x.view.block(k) + j * x_j];
      }
      const T* A = a.view.at(f.value, t, b) + a.view.block(k) + c * a_j;
      T sum = 0;
      NDL_UNROLL_SUM
      for (int64_t row = 0; row < m; ++row) sum = device::fma(A[row * a_i], dY[row * y_i], sum);
      return sum;
    });
  }
};

}  // namespace cuda
}  // namespace nengo_dl
