// Learning rules: each makes the weight change `delta` (m, n) of a step.
#pragma once

#include "cuda/kernel.h"
#include "cuda/place.h"
#include "ops/util.h"

namespace nengo_dl {
namespace cuda {

// One index per element of delta. A rule has T value(frame, t, b, k, row, column).
template <class T, class Rule>
struct RuleOp : PlainOp {
  Place delta;
  int64_t columns;

  RuleOp(const OpRecord& op, Tables& tables) : delta(op.arg("delta"), tables), columns(op.arg("delta").shape[1]) {}

  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return delta.work(f, steps);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    delta.put(f, t0, t1, i, team, true, [&](int64_t t, int64_t b, int64_t k, int64_t c) {
      Digits digits{c};
      const int64_t column = digits.take(columns);
      return static_cast<const Rule&>(*this).value(f, t, b, k, digits.rest, column);
    });
  }
};

// Element i of a vector, and element (i, j) of a matrix.
template <class T>
NDL_HD T value_at(const View& o, const Frame<T>& f, int64_t t, int64_t b, int64_t k, int64_t i) {
  return o.at(f, t, b)[o.block(k) + i * stride_of(o, 0)];
}
template <class T>
NDL_HD T value_at(const View& o, const Frame<T>& f, int64_t t, int64_t b, int64_t k, int64_t i, int64_t j) {
  return o.at(f, t, b)[o.block(k) + i * o.strides[0] + j * o.strides[1]];
}

template <class T>
struct PesOp : RuleOp<T, PesOp<T>> {
  View pre, error;
  const T* alpha;

  PesOp(const OpRecord& op, const Program&, Tables& tables)
      : RuleOp<T, PesOp<T>>(op, tables),
        pre(tables.view(op.arg("pre_filtered"))),
        error(tables.view(op.arg("error"))),
        alpha(tables.add_as<T>(op.per_block("alpha"))) {}
  NDL_HD T value(const Frame<T>& f, int64_t t, int64_t b, int64_t k, int64_t i, int64_t j) const {
    return alpha[k] * value_at(error, f, t, b, k, i) * value_at(pre, f, t, b, k, j);
  }
};

template <class T>
struct BcmOp : RuleOp<T, BcmOp<T>> {
  View pre, post, theta;
  const T* alpha;

  BcmOp(const OpRecord& op, const Program&, Tables& tables)
      : RuleOp<T, BcmOp<T>>(op, tables),
        pre(tables.view(op.arg("pre_filtered"))),
        post(tables.view(op.arg("post_filtered"))),
        theta(tables.view(op.arg("theta"))),
        alpha(tables.add_as<T>(op.per_block("alpha"))) {}
  NDL_HD T value(const Frame<T>& f, int64_t t, int64_t b, int64_t k, int64_t i, int64_t j) const {
    const T activity = value_at(post, f, t, b, k, i);
    return alpha[k] * activity * (activity - value_at(theta, f, t, b, k, i)) * value_at(pre, f, t, b, k, j);
  }
};

template <class T>
struct OjaOp : RuleOp<T, OjaOp<T>> {
  View pre, post, weights;
  const T *alpha, *beta;

  OjaOp(const OpRecord& op, const Program&, Tables& tables)
      : RuleOp<T, OjaOp<T>>(op, tables),
        pre(tables.view(op.arg("pre_filtered"))),
        post(tables.view(op.arg("post_filtered"))),
        weights(tables.view(op.arg("weights"))),
        alpha(tables.add_as<T>(op.per_block("alpha"))),
        beta(tables.add_as<T>(op.per_block("beta"))) {}
  NDL_HD T value(const Frame<T>& f, int64_t t, int64_t b, int64_t k, int64_t i, int64_t j) const {
    const T activity = value_at(post, f, t, b, k, i), s = alpha[k] * activity;
    return -beta[k] * value_at(weights, f, t, b, k, i, j) * (s * activity) + s * value_at(pre, f, t, b, k, j);
  }
};

template <class T>
struct VojaOp : RuleOp<T, VojaOp<T>> {
  View pre, post, encoders, signal, scale;
  const T* alpha;

  VojaOp(const OpRecord& op, const Program&, Tables& tables)
      : RuleOp<T, VojaOp<T>>(op, tables),
        pre(tables.view(op.arg("pre_decoded"))),
        post(tables.view(op.arg("post_filtered"))),
        encoders(tables.view(op.arg("scaled_encoders"))),
        signal(tables.view(op.arg("learning_signal"))),
        scale(tables.view(op.arg("scale"))),
        alpha(tables.add_as<T>(op.per_block("alpha"))) {}
  NDL_HD T value(const Frame<T>& f, int64_t t, int64_t b, int64_t k, int64_t i, int64_t j) const {
    const T activity = value_at(post, f, t, b, k, i), rate = alpha[k] * value_at(signal, f, t, b, k, 0);
    return rate * (value_at(scale, f, t, b, k, i) * (activity * value_at(pre, f, t, b, k, j)) -
                   activity * value_at(encoders, f, t, b, k, i, j));
  }
};

// P r; c = 1 / (1 + r.Pr); P -= outer(Pr, c Pr); delta = outer(error, -c Pr). The first row of delta holds P r until
// delta is made; each team that needs c sums it up for itself, with the same bits.
template <class T>
struct RlsOp : PlainOp {
  static constexpr bool knows_teams = true;
  static constexpr int phases = 3;  // P r, P, delta
  static constexpr bool each_step = true;
  View pre, error, delta, gamma;
  int64_t m, n;

  RlsOp(const OpRecord& op, const Program&, Tables& tables)
      : pre(tables.view(op.arg("pre_filtered"))),
        error(tables.view(op.arg("error"))),
        delta(tables.view(op.arg("delta"))),
        gamma(tables.view(op.arg("inv_gamma"))),
        m(op.arg("delta").shape[0]),
        n(op.arg("delta").shape[1]) {}

  NDL_HD bool teams(int) const { return true; }
  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t) const {
    return f.batch * gamma.blocks * (P == 2 ? 1 : n);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t, int64_t, int64_t index, const Team& team) const {
    Digits digits{index};
    const int64_t i = P == 2 ? 0 : digits.take(n), k = digits.take(gamma.blocks), b = digits.rest;
    const int64_t rj = stride_of(pre, 0), dj = delta.strides[1], gj = gamma.strides[1], back = old_row(f, gamma);
    const T* const r = pre.at(f, t, b) + pre.block(k);
    T* const change = delta.at(f, t, b) + delta.block(k);
    T* const row = gamma.at(f, t, b) + gamma.block(k) + i * gamma.strides[0];
    T sum = 0;
    for (int64_t j = team.lane; j < n; j += team.size)
      sum = device::fma(r[j * rj], P == 0 ? row[j * gj - back] : change[j * dj], sum);
    sum = team.sum(sum);
    if (P == 0) {
      if (team.lane == 0) change[i * dj] = sum;
      return;
    }
    const T c = T(1) / (T(1) + sum);
    for (int64_t j = team.lane; j < n; j += team.size) {
      const T step = change[j * dj] * c;
      if (P == 1)
        row[j * gj] = row[j * gj - back] - change[i * dj] * step;
      else
        for (int64_t o = 0; o < m; ++o) change[o * delta.strides[0] + j * dj] = -value_at(error, f, t, b, k, o) * step;
    }
  }
};

}  // namespace cuda
}  // namespace nengo_dl
