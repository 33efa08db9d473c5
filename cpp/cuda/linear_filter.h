// `filter`: a linear system of any order. Up to order 8 a thread has the whole state of an element in its registers;
// beyond, a team has the new state in the registers of all its lanes until nobody needs the old one.
#pragma once

#include <type_traits>

#include "cuda/filters.h"

namespace nengo_dl {
namespace cuda {

// Lanes see what the others have written before.
NDL_HD void meet(const Alone&) {}
#ifdef __CUDACC__
__device__ __forceinline__ void meet(const Warp&) { __syncwarp(); }
#endif

template <class T>
struct FilterOp : PlainOp {
  static constexpr bool knows_teams = true, needs_back_teams = true;
  static constexpr int back_phases = 2;        // states (and x); x
  static constexpr int64_t kRegisters = 8;     // the highest order of a thread
  static constexpr int64_t kMostOrder = 1024;  // what the kind allows
  Source x;
  Place y;
  View X;
  int64_t order, side;              // side: rows and columns of A as it lies here, with zeros
  const T *A, *turned, *B, *C, *E;  // turned: A column by column
  T D, F;
  bool direct;

  FilterOp(const OpRecord& op, const Program& p, Tables& tables)
      : x(op, p, tables),
        y(op.arg("y"), tables),
        order(static_cast<int64_t>(op.numbers("B").size())),
        side(order > kRegisters ? order
             : order > 2        ? kRegisters
                                : int64_t{2}),
        D(static_cast<T>(op.number("D"))),
        direct(op.integer("direct") != 0) {
    if (order > 0) X = tables.view(op.arg("X"));
    const auto padded = [&](const std::vector<double>& values, int64_t rows, int64_t row, int64_t column) {
      std::vector<T> to(rows * side);
      for (int64_t k = 0; k < (rows == 1 ? 1 : order); ++k)
        for (int64_t l = 0; l < order; ++l) to[k * side + l] = static_cast<T>(values[k * row + l * column]);
      return tables.add(to);
    };
    A = padded(op.numbers("A"), side, order, 1);
    turned = padded(op.numbers("A"), side, 1, order);
    B = padded(op.numbers("B"), 1, 0, 1);
    C = padded(op.numbers("C"), 1, 0, 1);
    const FilterOutput output(op);
    E = padded(output.E, 1, 0, 1);
    F = static_cast<T>(output.F);
  }

  NDL_HD bool teams(int) const { return order > kRegisters; }
  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t) const {
    return f.batch * y.count;
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    Digits digits{i};
    const int64_t c = digits.take(y.size), k = digits.take(y.view.blocks), b = digits.rest;
    if constexpr (std::is_same_v<Team, Warp>)
      if (order > kRegisters) return scan_shared(f, t0, t1, b, k, c, team);
    if constexpr (std::is_same_v<Team, Alone>)
      order > 2 ? scan<kRegisters>(f, t0, t1, b, k, c) : scan<2>(f, t0, t1, b, k, c);
  }

  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    if (!f.adjoint.base[y.view.buffer] && !has_state(f)) return 0;
    if (P == 1) return x.own_phase(f, steps, pass, later(f));
    return pass == Pass::values ? f.adjoint.batch * x.count : 0;
  }
  NDL_HD bool back_teams(int phase) const { return phase == 0 ? order > kRegisters : x.shared; }
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass, int64_t i, const Team& team) const {
    if (P == 1)
      return x.add(f.adjoint, t0, t1, i, team,
                   [&](int64_t t, int64_t b, int64_t k, int64_t c) { return to_x(f, t, b, k, c); });
    Digits digits{i};
    const int64_t e = digits.take(x.count), b = digits.rest;
    each_member(x, e, [&](int64_t k, int64_t c) {
      if constexpr (std::is_same_v<Team, Warp>)
        if (order > kRegisters) return scan_back_shared(f, t0, t1, b, k, c, team);
      if constexpr (std::is_same_v<Team, Alone>)
        order > 2 ? scan_back<kRegisters>(f, t0, t1, b, k, c) : scan_back<2>(f, t0, t1, b, k, c);
    });
  }

 private:
  NDL_HD int64_t column(int64_t k, int64_t c) const { return X.block(k) + c * X.strides[1]; }
  NDL_HD bool has_state(const GradFrame<T>& f) const { return order > 0 && f.adjoint.base[X.buffer]; }
  NDL_HD bool later(const GradFrame<T>& f) const { return order > 0 && among(f.adjoint, x.view, X); }
  NDL_HD T adjoint_of_y(const GradFrame<T>& f, int64_t t, int64_t b, int64_t k, int64_t c) const {
    return f.adjoint.base[y.view.buffer] ? y.view.at(f.adjoint, t, b)[y.offset(k, c)] : T(0);
  }
  NDL_HD T to_x(const GradFrame<T>& f, int64_t t, int64_t b, int64_t k, int64_t c) const {
    T sum = F * adjoint_of_y(f, t, b, k, c);
    if (!has_state(f)) return sum;
    const T* const next = X.at(f.adjoint, t, b) + column(k, c);
    for (int64_t l = 0; l < order; ++l) sum = device::fma(B[l], next[l * X.strides[0]], sum);
    return sum;
  }

  // `order` numbers at a distance, to and from registers.
  template <int N>
  NDL_HD void read(const T* from, T* to) const {
    for (int l = 0; l < N; ++l) to[l] = l < order ? from[l * X.strides[0]] : T(0);
  }
  template <int N>
  NDL_HD void write(const T* from, T* to) const {
    for (int l = 0; l < N; ++l)
      if (l < order) to[l * X.strides[0]] = from[l];
  }
  template <int N>
  NDL_HD static T dot(const T* weights, const T* values, T sum) {
    for (int l = 0; l < N; ++l) sum = device::fma(weights[l], values[l], sum);
    return sum;
  }

  template <int N>
  NDL_HD void scan(const Frame<T>& f, int64_t t0, int64_t t1, int64_t b, int64_t k, int64_t c) const {
    const int64_t x_row = f.row[x.view.buffer], y_row = f.row[y.view.buffer], row = order > 0 ? old_row(f, X) : 0;
    const T* const from = x.view.at(f, t0, b) + x.offset(k, c);
    T* const to = y.view.at(f, t0, b) + y.offset(k, c);
    T* const now = order > 0 ? X.at(f, t0, b) + column(k, c) : nullptr;
    T state[N] = {}, old[N] = {};
    if (now) read<N>(now - row, state);
    in_groups<8, T>(
        t1 - t0, [&](int64_t s) { return from[s * x_row]; },
        [&](int64_t s, T in) {
          for (int l = 0; l < N; ++l) old[l] = state[l];
          for (int l = 0; l < N; ++l) state[l] = dot<N>(A + l * N, old, B[l] * in);
          to[s * y_row] = direct ? dot<N>(C, old, D * in) : dot<N>(C, state, D * in);  // no pointer to registers
          if (now && row != 0) write<N>(state, now + s * row);
        });
    if (now && row == 0) write<N>(state, now);
  }

  template <int N>
  NDL_HD void scan_back(const GradFrame<T>& f, int64_t t0, int64_t t1, int64_t b, int64_t k, int64_t c) const {
    const bool has = has_state(f);
    const int64_t row = has ? old_row(f.adjoint, X) : 0;
    Added<T> dx(x.adjoint(f, t1 - 1, b, k, c, later(f)), f.adjoint.row[x.view.buffer], false);
    T* const now = has ? X.at(f.adjoint, t1 - 1, b) + column(k, c) : nullptr;
    T state[N] = {}, next[N] = {};
    if (has) read<N>(now, state);
    in_groups<N <= 2 ? 8 : 2, Adjoints<N>>(
        t1 - t0,
        [&](int64_t s) {
          Adjoints<N> before = {dx.read(s), adjoint_of_y(f, t1 - 1 - s, b, k, c), {}};
          if (row != 0) read<N>(now - (s + 1) * row, before.state);
          return before;
        },
        [&](int64_t s, const Adjoints<N>& before) {
          dx.add(s, before.x, dot<N>(B, state, F * before.y));
          if (!has) return;
          for (int l = 0; l < N; ++l) next[l] = state[l];
          for (int l = 0; l < N; ++l) state[l] = before.state[l] + dot<N>(turned + l * N, next, E[l] * before.y);
          if (row != 0) write<N>(state, now - (s + 1) * row);
        });
    if (has && row == 0) write<N>(state, now);
    dx.finish();
  }
  template <int N>
  struct Adjoints {
    T x, y, state[N];
  };

  // What lanes have of a state: of lane l the numbers l, l + size, ..
  template <class Team>
  struct Part {
    static constexpr int kRows = kMostOrder / Team::size;
    T values[kRows];

    // f(number, value) of all.
    template <class F>
    NDL_HD void each(int64_t order, const Team& team, F f) {
#ifdef __CUDA_ARCH__
#pragma unroll  // or the values would lie in memory
#endif
      for (int r = 0; r < kRows; ++r) {
        const int64_t l = r * Team::size + team.lane;
        if (l < order) f(l, values[r]);
      }
    }
  };

  // (scale[l] s + sum of weights[m][l] from[m]) for the numbers l of a lane.
  template <class Team>
  NDL_HD Part<Team> product(const T* weights, const T* scale, T s, const T* from, const Team& team) const {
    Part<Team> part;
    part.each(order, team, [&](int64_t l, T& value) { value = scale[l] * s; });
    for (int64_t m = 0; m < order; ++m) {
      const T factor = from[m * X.strides[0]];
      const T* const row = weights + m * order;
      part.each(order, team, [&](int64_t l, T& value) { value = device::fma(row[l], factor, value); });
    }
    return part;
  }
  template <class Team>
  NDL_HD T dot_shared(const T* weights, const T* values, const Team& team) const {
    T sum = 0;
    for (int64_t l = team.lane; l < order; l += team.size) sum = device::fma(weights[l], values[l * X.strides[0]], sum);
    return team.sum(sum);
  }

  template <class Team>
  NDL_HD void scan_shared(const Frame<T>& f, int64_t t0, int64_t t1, int64_t b, int64_t k, int64_t c,
                          const Team& team) const {
    for (int64_t t = t0; t < t1; ++t) {
      const T in = x.view.at(f, t, b)[x.offset(k, c)];
      T* const now = X.at(f, t, b) + column(k, c);
      const T* const old = now - old_row(f, X);
      T sum = direct ? dot_shared(C, old, team) : T(0);
      Part<Team> next = product(turned, B, in, old, team);
      meet(team);
      next.each(order, team, [&](int64_t l, T value) { now[l * X.strides[0]] = value; });
      meet(team);
      if (!direct) sum = dot_shared(C, now, team);
      if (team.lane == 0) y.view.at(f, t, b)[y.offset(k, c)] = D * in + sum;
    }
  }

  template <class Team>
  NDL_HD void scan_back_shared(const GradFrame<T>& f, int64_t t0, int64_t t1, int64_t b, int64_t k, int64_t c,
                               const Team& team) const {
    const bool has = has_state(f);
    const int64_t row = has ? old_row(f.adjoint, X) : 0;
    for (int64_t t = t1; t-- > t0;) {
      const T dy = adjoint_of_y(f, t, b, k, c);
      T* const now = has ? X.at(f.adjoint, t, b) + column(k, c) : nullptr;
      if (T* const dx = x.adjoint(f, t, b, k, c, later(f))) {
        const T sum = has ? dot_shared(B, now, team) : T(0);
        if (team.lane == 0) *dx += F * dy + sum;
      }
      if (!has) continue;
      Part<Team> old = product(A, E, dy, now, team);
      meet(team);
      old.each(order, team, [&](int64_t l, T value) {
        T& to = now[l * X.strides[0] - row];
        to = (row ? to : T(0)) + value;
      });
      meet(team);
    }
  }
};

}  // namespace cuda
}  // namespace nengo_dl
