// Rows of tables, chosen by the time.
#pragma once

#include "cuda/kernel.h"
#include "cuda/place.h"
#include "ops/timetable.h"
#include "ops/util.h"

namespace nengo_dl {
namespace cuda {

template <class T>
struct TableOp : PlainOp {
  Place dst;
  View table;
  TableRow row_of;
  bool set;

  TableOp(const OpRecord& op, const Program& p, Tables& tables)
      : dst(op.arg("dst"), tables), table(tables.view(op.arg("table"))), row_of(op, p), set(op.set()) {
    if (row_of.mode == TableRow::Mode::piecewise) row_of.times = tables.add(op.numbers("times"));
  }

  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return dst.work(f, steps);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    dst.put(f, t0, t1, i, team, set, [&](int64_t t, int64_t b, int64_t k, int64_t c) {
      const int64_t row = row_of.at(f.first_step + t + 1);
      if (row < 0) return T(0);
      return table.at(f, t, b)[table.block(k) + row * table.strides[0] + c * stride_of(table, 1)];
    });
  }
};

template <class T>
struct InterpolateOp : PlainOp {
  Place dst;
  View table;
  int64_t rows;
  const double* times;
  double dt;
  bool set;

  InterpolateOp(const OpRecord& op, const Program& p, Tables& tables)
      : dst(op.arg("dst"), tables),
        table(tables.view(op.arg("table"))),
        rows(op.arg("table").shape[0]),
        times(tables.add(op.numbers("times"))),
        dt(p.dt),
        set(op.set()) {}

  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return dst.work(f, steps);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    dst.put(f, t0, t1, i, team, set, [&](int64_t t, int64_t b, int64_t k, int64_t c) {
      const TableLine line(times, rows, static_cast<double>(f.first_step + t + 1) * dt);
      if (!line.inside) return T(0);
      const T* const low = table.at(f, t, b) + table.block(k) + line.row * table.strides[0] + c * stride_of(table, 1);
      return static_cast<T>(line.between(times, low[0], low[table.strides[0]]));
    });
  }
};

}  // namespace cuda
}  // namespace nengo_dl
