// Sparse products: compressed rows of numbers (`sparse`) or of dense blocks (`bsr`).
#pragma once

#include "cuda/kernel.h"
#include "cuda/place.h"
#include "ops/util.h"

namespace nengo_dl {
namespace cuda {

// Numbers are blocks of one row and one column. Entries of A are blocks; rows and columns below are those of blocks.
template <class T>
struct SparseOp : PlainOp {
  static constexpr bool knows_teams = true;
  static constexpr int back_phases = 2;               // X, A
  static constexpr int64_t kLong = 32;                // sums that a team takes
  static constexpr int64_t kMany = int64_t{1} << 14;  // adjoints that keep the GPU busy with a thread each
  Place a, x, y;
  int64_t height, width, a_entry, a_row, a_column, x_stride, y_stride;
  bool set, shared_a, shared_x, long_rows;  // shared: in a param buffer
  const int32_t *column, *row;              // per entry
  const int64_t* row_start;                 // per row, and the end
  const int32_t* by_column;                 // entries, sorted by their columns
  const int64_t* column_start;              // per column, and the end

  SparseOp(const OpRecord& op, const Program& p, Tables& tables)
      : a(op.arg("A"), tables),
        x(op.arg("X"), tables),
        y(op.arg("Y"), tables),
        set(op.set()),
        shared_a(in_param(op.arg("A"), p)),
        shared_x(in_param(op.arg("X"), p)) {
    const bool blocks = a.view.rank == 3;
    height = blocks ? a.view.shape[1] : 1, width = blocks ? a.view.shape[2] : 1;
    a_entry = stride_of(a.view, 0), a_row = blocks ? a.view.strides[1] : 0, a_column = blocks ? a.view.strides[2] : 0;
    x_stride = stride_of(x.view, 0), y_stride = stride_of(y.view, 0);
    const std::vector<int64_t>&columns = op.integers("indices"), &starts = op.integers("indptr");
    const int64_t entries = static_cast<int64_t>(columns.size()), rows = static_cast<int64_t>(starts.size()) - 1;
    if (std::max(entries, x.size) > INT32_MAX)
      op.fail("expected at most 2^31 - 1 entries and columns on a GPU, got " + std::to_string(entries) + " and " +
              std::to_string(x.size));
    long_rows = entries * width >= kLong * rows;
    column = tables.add_as<int32_t>(columns);
    row_start = tables.add(starts);
    std::vector<int32_t> row_of(entries), sorted(entries);
    for (int64_t r = 0; r < rows; ++r) std::fill(row_of.begin() + starts[r], row_of.begin() + starts[r + 1], r);
    row = tables.add(row_of);
    std::vector<int64_t> ends(x.size / width + 1);
    for (int64_t c : columns) ++ends[c + 1];
    std::partial_sum(ends.begin(), ends.end(), ends.begin());
    column_start = tables.add(ends);
    for (int64_t e = 0; e < entries; ++e) sorted[ends[columns[e]]++] = static_cast<int32_t>(e);
    by_column = tables.add(sorted);
  }

  NDL_HD bool teams(int) const { return long_rows; }
  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return y.work(f, steps);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    y.put(f, t0, t1, i, team, set, [&](int64_t t, int64_t b, int64_t, int64_t c) {
      Digits digits{c};
      const int64_t r = digits.take(height);
      const T* const A = first(a, f, t, b) + r * a_row;
      const T* const X = first(x, f, t, b);
      const int64_t from = row_start[digits.rest], terms = (row_start[digits.rest + 1] - from) * width;
      T sum = 0;
      for (int64_t j = team.lane; j < terms; j += team.size) {
        Digits term{j};
        const int64_t l = term.take(width), entry = from + term.rest;
        sum = device::fma(A[entry * a_entry + l * a_column], X[(column[entry] * width + l) * x_stride], sum);
      }
      return team.sum(sum);
    });
  }

  NDL_HD bool shared(int phase) const { return phase == 0 ? shared_x : shared_a; }
  NDL_HD bool back_teams(int phase) const { return shared(phase) && target(phase).count < kMany; }
  NDL_HD const Place& target(int phase) const { return phase == 0 ? x : a; }
  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    const bool asked = f.adjoint.base[target(P).view.buffer] && f.adjoint.base[y.view.buffer];
    return asked && shared(P) == (pass == Pass::params) ? target(P).work(f.adjoint, steps) : 0;
  }
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass, int64_t i, const Team& team) const {
    target(P).add(f.adjoint, t0, t1, i, team, [&](int64_t t, int64_t b, int64_t, int64_t c) {
      const T* const dY = first(y, f.adjoint, t, b);
      Digits digits{c};
      const int64_t l = digits.take(width);
      if (P == 0) return to_x(first(a, f.value, t, b) + l * a_column, dY, digits.rest);
      const int64_t r = digits.take(height), entry = digits.rest;
      return dY[(row[entry] * height + r) * y_stride] * first(x, f.value, t, b)[(column[entry] * width + l) * x_stride];
    });
  }

 private:
  NDL_HD static T* first(const Place& o, const Frame<T>& f, int64_t t, int64_t b) {
    return o.view.at(f, t, b) + o.view.block(0);
  }
  // A^T dY, for one column of the blocks in a column.
  NDL_HD T to_x(const T* A, const T* dY, int64_t c) const {
    T sum = 0;
    for (int64_t m = column_start[c]; m < column_start[c + 1]; ++m) {
      const int64_t entry = by_column[m];
      for (int64_t r = 0; r < height; ++r)
        sum = device::fma(A[entry * a_entry + r * a_row], dY[(row[entry] * height + r) * y_stride], sum);
    }
    return sum;
  }
};

}  // namespace cuda
}  // namespace nengo_dl
