// Synapses: scans over the steps, each element with what it carries in the registers of one thread.
//
// On the way back an index is an element of x: where several elements of the op read one, a thread goes through them
// one after the other, and so adds up their adjoints in a fixed order.
#pragma once

#include <type_traits>

#include "cuda/kernel.h"
#include "cuda/members.h"
#include "ops/filter.h"
#include "ops/triangle.h"
#include "ops/util.h"

namespace nengo_dl {
namespace cuda {

// What a synapse reads.
struct Source : Place {
  bool shared = false;  // in a param buffer

  Source(const OpRecord& op, const Program& p, Tables& tables)
      : Place(op.arg("x"), tables), shared(in_param(op.arg("x"), p)) {}

  // Its adjoint at step t, null if the scan doesn't add to it: nobody wants it, or a phase of its own adds it up.
  template <class T>
  NDL_HD T* adjoint(const GradFrame<T>& f, int64_t t, int64_t b, int64_t k, int64_t c, bool later) const {
    return shared || later || !f.adjoint.base[view.buffer] ? nullptr : view.at(f.adjoint, t, b) + offset(k, c);
  }
  template <class T>
  NDL_HD int64_t own_phase(const GradFrame<T>& f, int64_t steps, Pass pass, bool later) const {
    const bool now = shared ? pass == Pass::params : pass == Pass::values && later;
    return now && f.adjoint.base[view.buffer] ? work(f.adjoint, steps) : 0;
  }
};

// Whether x lies among what a scan changes row by row, where another thread's elements may be its own.
template <class T>
NDL_HD bool among(const Frame<T>& adjoint, const View& x, const View& state) {
  return x.buffer == state.buffer && old_row(adjoint, state) != 0;
}

// use(s, read(s)) for the numbers s of so many steps. What `Ahead` of them read is fetched at once, as a load takes
// much longer than a step: nothing of it may be what the steps before have written.
template <int Ahead, class Fetched, class Read, class Use>
NDL_HD void in_groups(int64_t steps, Read read, Use use) {
  for (int64_t first = 0; first < steps; first += Ahead) {
    Fetched fetched[Ahead] = {};
    for (int s = 0; s < Ahead; ++s) {
      if (first + s >= steps) break;
      fetched[s] = read(first + s);
    }
    for (int s = 0; s < Ahead; ++s) {
      if (first + s >= steps) break;
      use(first + s, fetched[s]);
    }
  }
}

// A sum that a scan adds to step by step, with a row for each or one for all.
template <class T>
struct Added {
  T* at;  // null: not wanted
  int64_t row;
  bool unset;  // there is nothing in its rows
  T total = 0;

  NDL_HD Added(T* at, int64_t row, bool unset) : at(at), row(row), unset(unset) {}
  NDL_HD T read(int64_t s) const { return at && row != 0 && !unset ? at[-s * row] : T(0); }
  // `before`: what was read.
  NDL_HD void add(int64_t s, T before, T value) {
    if (at && row != 0) at[-s * row] = before + value;
    if (row == 0) total += value;
  }
  NDL_HD void finish() const {
    if (at && row == 0) *at += total;
  }
};

template <class T>
struct LowpassOp : PlainOp {
  static constexpr int back_phases = 2;  // y (and x); x
  static constexpr bool sets = true;
  Source x;
  Place y;
  const T *a, *b;  // per block

  LowpassOp(const OpRecord& op, const Program& p, Tables& tables)
      : x(op, p, tables),
        y(op.arg("y"), tables),
        a(tables.add_as<T>(op.per_block("a"))),
        b(tables.add_as<T>(op.per_block("b"))) {}

  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t) const {
    return f.batch * y.count;
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team&) const {
    Digits digits{i};
    const int64_t c = digits.take(y.size), k = digits.take(y.view.blocks);
    if constexpr (std::is_same_v<Team, Alone>) scan(f, t0, t1, digits.rest, k, c);
  }

  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    if (!f.adjoint.base[y.view.buffer]) return 0;
    if (P == 1) return x.own_phase(f, steps, pass, among(f.adjoint, x.view, y.view));
    return pass == Pass::values ? f.adjoint.batch * x.count : 0;
  }
  NDL_HD bool back_teams(int phase) const { return phase == 1 && x.shared; }
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass, int64_t i, const Team& team) const {
    if (P == 1)
      return x.add(f.adjoint, t0, t1, i, team, [&](int64_t t, int64_t item, int64_t k, int64_t c) {
        return b[k] * y.view.at(f.adjoint, t, item)[y.offset(k, c)];
      });
    Digits digits{i};
    const int64_t e = digits.take(x.count);
    if constexpr (std::is_same_v<Team, Alone>)
      each_member(x, e, [&](int64_t k, int64_t c) { scan_back(f, t0, t1, digits.rest, k, c); });
  }

 private:
  NDL_HD void scan(const Frame<T>& f, int64_t t0, int64_t t1, int64_t item, int64_t k, int64_t c) const {
    const int64_t x_row = f.row[x.view.buffer], y_row = f.row[y.view.buffer];
    const T* const from = x.view.at(f, t0, item) + x.offset(k, c);
    T* const to = y.view.at(f, t0, item) + y.offset(k, c);
    const T keep = a[k], take = b[k];
    T value = *(to - y_row);
    in_groups<8, T>(
        t1 - t0, [&](int64_t s) { return from[s * x_row]; },
        [&](int64_t s, T in) { to[s * y_row] = value = keep * value + take * in; });
  }
  NDL_HD void scan_back(const GradFrame<T>& f, int64_t t0, int64_t t1, int64_t item, int64_t k, int64_t c) const {
    const int64_t y_row = f.adjoint.row[y.view.buffer];
    Added<T> dx(x.adjoint(f, t1 - 1, item, k, c, among(f.adjoint, x.view, y.view)), f.adjoint.row[x.view.buffer],
                f.unset[x.view.buffer]);
    T* const dy = y.view.at(f.adjoint, t1 - 1, item) + y.offset(k, c);
    const T keep = a[k], take = b[k];
    T value = *dy;
    in_groups<8, Adjoints>(
        t1 - t0,
        [&](int64_t s) {
          return Adjoints{dx.read(s), y_row != 0 ? dy[-(s + 1) * y_row] : T(0)};
        },
        [&](int64_t s, const Adjoints& before) {
          dx.add(s, before.x, take * value);
          value = keep * value + before.y;
          if (y_row != 0) dy[-(s + 1) * y_row] = value;
        });
    if (y_row == 0) *dy = value;
    dx.finish();
  }
  struct Adjoints {
    T x, y;
  };
};

template <class T>
struct TriangleOp : PlainOp {
  static constexpr int phases = 2, back_phases = 3;  // elements, Xi; elements, Xi, x
  Source x;
  Place y, Y;
  View X, Xi;
  int64_t taps;
  T n0, ndiff;

  TriangleOp(const OpRecord& op, const Program& p, Tables& tables)
      : x(op, p, tables),
        y(op.arg("y"), tables),
        Y(op.arg("Y"), tables),
        X(tables.view(op.arg("X"))),
        Xi(tables.view(op.arg("Xi"))),
        taps(op.arg("X").shape[0]),
        n0(static_cast<T>(op.number("n0"))),
        ndiff(static_cast<T>(op.number("ndiff"))) {}

  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t) const {
    return f.batch * (P == 0 ? y.count : Xi.blocks);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    if (team.lane != 0) return;
    Digits digits{i};
    const int64_t c = P == 0 ? digits.take(y.size) : 0, k = digits.take(Xi.blocks), b = digits.rest;
    T* row = Xi.at(f, t0, b) + Xi.block(k);
    T at = *(row - old_row(f, Xi));
    for (int64_t t = t0; t < t1; ++t) {
      const int64_t next = next_row(at, taps);
      at = static_cast<T>(next);
      if (P == 0)
        step(f, t, b, k, c, next);
      else
        *row = at, row += f.row[Xi.buffer];
    }
  }

  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    if (P == 2) return x.own_phase(f, steps, pass, later(f));
    if (pass != Pass::values) return 0;
    if (P == 0) return f.adjoint.batch * x.count;
    return f.adjoint.base[Xi.buffer] && old_row(f.adjoint, Xi) == 0 ? f.adjoint.batch * Xi.blocks : 0;
  }
  NDL_HD bool back_teams(int phase) const { return phase == 2 && x.shared; }
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass, int64_t i, const Team& team) const {
    if (P == 2)
      return x.add(f.adjoint, t0, t1, i, team,
                   [&](int64_t t, int64_t b, int64_t k, int64_t c) { return to_x(f, t, b, k, c); });
    if (team.lane != 0) return;
    Digits digits{i};
    const int64_t e = digits.take(P == 0 ? x.count : Xi.blocks), b = digits.rest;
    if (P == 1) {  // nothing depends on the old Xi smoothly
      Xi.at(f.adjoint, t0, b)[Xi.block(e)] = 0;
      return;
    }
    each_member(x, e, [&](int64_t k, int64_t c) {
      for (int64_t t = t1; t-- > t0;) step_back(f, t, b, k, c);
    });
  }

 private:
  NDL_HD int64_t column(int64_t k, int64_t c) const { return X.block(k) + c * X.strides[1]; }

  NDL_HD void step(const Frame<T>& f, int64_t t, int64_t b, int64_t k, int64_t c, int64_t next) const {
    const int64_t X_row = old_row(f, X);
    T* now = X.at(f, t, b) + column(k, c);
    T sum = 0;
    for (int64_t tap = 0; tap < taps; ++tap) {
      const T old = now[tap * X.strides[0] - X_row];
      sum += old;
      if (X_row != 0) now[tap * X.strides[0]] = old;
    }
    const T in = x.view.at(f, t, b)[x.offset(k, c)];
    T* const total = Y.view.at(f, t, b) + Y.offset(k, c);
    const T value = *(total - old_row(f, Y.view)) + n0 * in - sum;
    *total = value;
    y.view.at(f, t, b)[y.offset(k, c)] = value;
    now[next * X.strides[0]] = ndiff * in;
  }

  NDL_HD bool later(const GradFrame<T>& f) const {
    return among(f.adjoint, x.view, X) || among(f.adjoint, x.view, Y.view);
  }
  NDL_HD int64_t next_of(const GradFrame<T>& f, int64_t t, int64_t b, int64_t k) const {
    return next_row(*(Xi.at(f.value, t, b) - Xi.shift * f.value.row[Xi.buffer] + Xi.block(k)), taps);
  }
  NDL_HD T* adjoint_of_column(const GradFrame<T>& f, int64_t t, int64_t b, int64_t k, int64_t c) const {
    return f.adjoint.base[X.buffer] ? X.at(f.adjoint, t, b) + column(k, c) : nullptr;
  }
  // y and the new Y are one value: its adjoint is the sum of theirs.
  NDL_HD T adjoint_of_sum(const GradFrame<T>& f, int64_t t, int64_t b, int64_t k, int64_t c) const {
    T sum = 0;
    if (f.adjoint.base[y.view.buffer]) sum += y.view.at(f.adjoint, t, b)[y.offset(k, c)];
    if (f.adjoint.base[Y.view.buffer]) sum += Y.view.at(f.adjoint, t, b)[Y.offset(k, c)];
    return sum;
  }
  NDL_HD T to_x(const GradFrame<T>& f, int64_t t, int64_t b, int64_t k, int64_t c) const {
    const T* const now = adjoint_of_column(f, t, b, k, c);
    const T newest = now ? ndiff * now[next_of(f, t, b, k) * X.strides[0]] : T(0);
    return n0 * adjoint_of_sum(f, t, b, k, c) + newest;
  }

  NDL_HD void step_back(const GradFrame<T>& f, int64_t t, int64_t b, int64_t k, int64_t c) const {
    if (T* const dx = x.adjoint(f, t, b, k, c, later(f))) *dx += to_x(f, t, b, k, c);
    const T sum = adjoint_of_sum(f, t, b, k, c);
    const int64_t X_row = old_row(f.adjoint, X), Y_row = old_row(f.adjoint, Y.view);
    if (T* const now = adjoint_of_column(f, t, b, k, c)) {
      const int64_t next = next_of(f, t, b, k);
      for (int64_t tap = 0; tap < taps; ++tap) {
        T* const to = now + tap * X.strides[0];
        const T kept = tap == next ? T(0) : *to;  // the newest difference took the place of the oldest
        T& old = *(to - X_row);
        old = (X_row ? old : T(0)) + kept - sum;
      }
    }
    if (f.adjoint.base[Y.view.buffer]) {
      T& old = *(Y.view.at(f.adjoint, t, b) + Y.offset(k, c) - Y_row);
      old = (Y_row ? old : T(0)) + sum;
    }
  }
};

}  // namespace cuda
}  // namespace nengo_dl
