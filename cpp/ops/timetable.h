// Which row of a table a time names: for the kernels of `table` and `interpolate`.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "engine/program.h"

namespace nengo_dl {

// How many of n rising times lie before one.
NDL_BOTH inline int64_t count_before(const double* times, int64_t n, double time) {
  int64_t low = 0;
  while (n > 0) {
    const int64_t half = n / 2;
    if (times[low + half] < time)
      low += half + 1, n -= half + 1;
    else
      n = half;
  }
  return low;
}

struct TableRow {
  enum class Mode { signal, present, piecewise };

  Mode mode;
  int64_t rows;
  double dt, period;
  const double* times = nullptr;  // of the rows, if they are piecewise

  TableRow(const OpRecord& op, const Program& program)
      : mode(mode_of(op)),
        rows(op.arg("table").shape[0]),
        dt(program.dt),
        period(mode == Mode::present ? op.number("period") : 1) {}

  // The row of a step, -1 for none.
  NDL_BOTH int64_t at(int64_t step) const {
    const double time = static_cast<double>(step) * dt;
    if (mode == Mode::signal) return step % rows;
    if (mode == Mode::piecewise) return count_before(times, rows, time + dt / 2) - 1;
    const double count = std::trunc((time - dt) / period + 1e-7);
    const double row = std::fmod(count, static_cast<double>(rows));
    if (!(row > 0)) return 0;
    const int64_t whole = static_cast<int64_t>(row);
    return whole < rows ? whole : rows - 1;
  }

  static Mode mode_of(const OpRecord& op) {
    const std::string mode = op.text("mode");
    if (mode == "signal") return Mode::signal;
    if (mode == "present") return Mode::present;
    if (mode == "piecewise") return Mode::piecewise;
    op.fail("attribute 'mode': expected 'signal', 'present' or 'piecewise', got '" + mode + "'");
  }
};

// The straight line through the rows of a table about a time.
struct TableLine {
  double time;
  int64_t row;  // the last one before the time that has one after it
  bool inside;

  NDL_BOTH TableLine(const double* times, int64_t rows, double time)
      : time(time), row(count_before(times + 1, rows - 2, time)), inside(time >= times[0] && time <= times[rows - 1]) {}

  // Between the elements `from` and `to` of the row and the next one.
  NDL_BOTH double between(const double* times, double from, double to) const {
    return (to - from) / (times[row + 1] - times[row]) * (time - times[row]) + from;
  }
};

}  // namespace nengo_dl
