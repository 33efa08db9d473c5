// The way back through `dense`: dX += A^T dY, dA += dY X^T, dbias += dY, summed over steps and items.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "ops/adjoint.h"
#include "ops/dense_args.h"
#include "ops/lines.h"

namespace nengo_dl {

template <class T>
class DenseGrad {
 public:
  // `forward`: sizes, strides and offsets of Y = A.X (+ bias)
  DenseGrad(const OpRecord& op, const Program& p, const DenseArgs<T>& forward)
      : d_(forward),
        shared_a_(in_param(op.arg("A"), p)),
        shared_x_(in_param(op.arg("X"), p)),
        shared_bias_(op.find_arg("bias") && in_param(op.arg("bias"), p)),
        distinct_x_(elements_differ(dims_of(op.arg("X")))),
        distinct_a_(elements_differ(dims_of(op.arg("A")))),
        row_major_(d_.n > 1 && d_.a_j == 1),
        x_kernel_(kernel_of(transposed())),
        a_kernel_(kernel_of(outer(row_major_, 2))),
        a_packed_(std::min(d_.m, d_.n) >= kPackedSize && a_kernel_ == NDL_PICK_TYPED(T, dense_cols)),
        x_packed_from_(rows_for_packed_x()) {
    const bool rows = d_.m > 1 && d_.n >= 8 && d_.a_i == 1 && d_.y_i == 1 && d_.x_j == 1;
    few_y_ = rows && d_.m <= 24, some_y_ = rows && d_.m <= 64;
  }

  // `pass` says whose adjoints are wanted: those in param buffers or the others.
  void add(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass, const View& a, const View& x, const View& y,
           const View* bias) const {
    if (!f.adjoint.base[y.buffer]) return;
    const bool params = pass == Pass::params;
    if (f.adjoint.base[x.buffer] && shared_x_ == params) add_x(f, t0, t1, a, x, y);
    if (f.adjoint.base[a.buffer] && shared_a_ == params) add_a(f, t0, t1, a, x, y);
    if (bias && f.adjoint.base[bias->buffer] && shared_bias_ == params) add_bias(f, t0, t1, *bias, y);
  }

 private:
  static DenseFunction<T> kernel_of(const DenseArgs<T>& d) { return dense_function(d, false); }
  // The same row for all is no distance.
  static bool apart(const Frame<T>& f, const View& o) { return f.row[o.buffer] != 0 && one_stride(f, o); }

  DenseArgs<T> transposed() const {
    DenseArgs<T> d = d_;
    d.m = d_.n, d.n = d_.m, d.a_i = d_.a_j, d.a_j = d_.a_i;
    d.x_at = d_.y_at, d.x_j = d_.y_i, d.y_at = d_.x_at, d.y_i = d_.x_j;
    d.bias = nullptr, d.b_i = 1, d.set = false;
    return d;
  }

  // Rows from which dX is a packed product.
  int64_t rows_for_packed_x() const {
    constexpr int64_t kSize = 65;  // up to 64 the matrix is turned, see kernel_of_x
    const int64_t size = std::min(d_.m, d_.n);
    if (size < kSize || x_kernel_ != NDL_PICK_TYPED(T, dense_rows) || d_.x_j != 1) return INT64_MAX;
    const int64_t from = NDL_PICK(dense_packed_from)();
    return size < kPackedSize ? from : std::min(3 * from, kPackedRows);  // turning it leaves the cache
  }

  // For many rows and a sum over few elements of Y that lie side by side in A: where turning A pays was measured.
  DenseFunction<T> kernel_of_x(int64_t rows) const {
    const bool turn = (few_y_ && rows >= 8) || (some_y_ && rows >= 32);
    return turn ? turned_ : x_kernel_;
  }

  // dA as a product over `count` rows: lanes along its contiguous dimension.
  DenseArgs<T> outer(bool row_major, int64_t count) const {
    DenseArgs<T> d = d_;
    d.bias = nullptr, d.b_i = 1, d.set = false, d.n = count, d.y_at = d_.a_at;
    if (row_major) {
      d.m = d_.n, d.rows = d_.m, d.a_at = d_.x_at, d.a_i = d_.x_j, d.x_at = d_.y_at, d.x_row = d_.y_i;
      d.y_i = d_.a_j, d.y_row = d_.a_i;
    } else {
      d.m = d_.m, d.rows = d_.n, d.a_at = d_.y_at, d.a_i = d_.y_i, d.x_at = d_.x_at, d.x_row = d_.x_j;
      d.y_i = d_.a_i, d.y_row = d_.a_j;
    }
    d.a_j = d.x_j = 2;  // rows are never neighbours: no kernel along them
    return d;
  }

  void add_x(const GradFrame<T>& f, int64_t t0, int64_t t1, const View& a, const View& x, const View& y) const {
    const int64_t items = f.adjoint.batch;
    const bool own_a = f.value.row[a.buffer] || f.value.item[a.buffer];
    const bool distinct = distinct_x_ && f.adjoint.item[x.buffer] && (f.adjoint.row[x.buffer] || t1 - t0 == 1);
    const auto rows = [&](int64_t t, int64_t b, int64_t count, bool along_steps) {
      DenseArgs<T> d = transposed();
      d.a = a.at(f.value, t, b), d.x = y.at(f.adjoint, t, b), d.y = x.at(f.adjoint, t, b), d.rows = count;
      d.set = f.unset[x.buffer];
      d.x_row = along_steps ? f.adjoint.row[y.buffer] : f.adjoint.item[y.buffer];
      d.y_row = along_steps ? f.adjoint.row[x.buffer] : f.adjoint.item[x.buffer];
      if (!distinct_x_)
        overlapping(d);
      else if (count >= x_packed_from_)
        run_packed(d);
      else
        kernel_of_x(count)(d);
    };
    if (own_a || !distinct) {
      for (int64_t t = t1; t-- > t0;)
        for (int64_t b = 0; b < items; ++b) rows(t, b, 1, false);
      return;
    }
    each_row_line(t0, t1, items, apart(f.adjoint, x) && apart(f.adjoint, y), t1 - t0 > items, rows);
  }

  // Elements of X that are one and the same (stride 0): what they get is added up.
  static void overlapping(const DenseArgs<T>& d) {
    for (int64_t k = 0; k < d.blocks; ++k)
      for (int64_t i = 0; i < d.m; ++i)
        for (int64_t j = 0; j < d.n; ++j)
          d.y[d.y_at[k] + i * d.y_i] += d.a[d.a_at[k] + i * d.a_i + j * d.a_j] * d.x[d.x_at[k] + j * d.x_j];
  }

  void add_a(const GradFrame<T>& f, int64_t t0, int64_t t1, const View& a, const View& x, const View& y) const {
    const auto rows = [&](int64_t t, int64_t b, int64_t count, bool along_steps) {
      const int64_t x_row = along_steps ? f.value.row[x.buffer] : f.value.item[x.buffer];
      const int64_t y_row = along_steps ? f.adjoint.row[y.buffer] : f.adjoint.item[y.buffer];
      T* da = a.at(f.adjoint, t, b);
      const T* xs = x.at(f.value, t, b);
      const T* dy = y.at(f.adjoint, t, b);
      if (!distinct_a_) return overlapping_weights(da, xs, x_row, dy, y_row, count);
      DenseArgs<T> d = outer(row_major_, count);
      d.a = row_major_ ? xs : dy, d.x = row_major_ ? dy : xs, d.y = da;
      d.a_j = row_major_ ? x_row : y_row, d.x_j = row_major_ ? y_row : x_row;
      if (a_packed_ && count > 1)
        run_packed(d);
      else
        (count == 1 ? outer_ : a_kernel_)(d);
    };
    const int64_t items = f.adjoint.batch;
    if (!shared_a_) {  // weights of each item, or even step
      const bool each_step = f.adjoint.row[a.buffer] != 0;
      for (int64_t b = 0; b < items; ++b)
        for (int64_t t = each_step ? t1 - 1 : t0; t >= t0 && t < t1; --t) {
          rows(t, b, each_step ? 1 : t1 - t0, true);
          if (!each_step) break;
        }
      return;
    }
    each_row_line(t0, t1, items, apart(f.value, x) && apart(f.adjoint, y), t1 - t0 > items, rows);
  }

  // Elements of A that are one and the same.
  void overlapping_weights(T* da, const T* x, int64_t x_row, const T* dy, int64_t y_row, int64_t count) const {
    for (int64_t k = 0; k < d_.blocks; ++k)
      for (int64_t r = 0; r < count; ++r)
        for (int64_t i = 0; i < d_.m; ++i)
          for (int64_t j = 0; j < d_.n; ++j)
            da[d_.a_at[k] + i * a_i_true() + j * a_j_true()] +=
                dy[d_.y_at[k] + r * y_row + i * d_.y_i] * x[d_.x_at[k] + r * x_row + j * d_.x_j];
  }
  int64_t a_i_true() const { return d_.m == 1 ? 0 : d_.a_i; }
  int64_t a_j_true() const { return d_.n == 1 ? 0 : d_.a_j; }

  void add_bias(const GradFrame<T>& f, int64_t t0, int64_t t1, const View& bias, const View& y) const {
    for (int64_t t = t0; t < t1; ++t)
      for (int64_t b = 0; b < f.adjoint.batch; ++b) {
        T* db = bias.at(f.adjoint, t, b);
        const T* dy = y.at(f.adjoint, t, b);
        const int64_t step = d_.m == 1 ? 1 : bias.strides[0];
        for (int64_t k = 0; k < d_.blocks; ++k)
          sum_rows_(dy + d_.y_at[k], d_.y_i, db + d_.bias_at[k], step, d_.m, false);
      }
  }

  DenseArgs<T> d_;
  bool shared_a_, shared_x_, shared_bias_, distinct_x_, distinct_a_, row_major_;
  bool few_y_, some_y_;  // sums of dX are short
  DenseFunction<T> x_kernel_, a_kernel_;
  bool a_packed_;          // of several rows
  int64_t x_packed_from_;  // rows
  DenseFunction<T> turned_ = NDL_PICK_TYPED(T, dense_turned), outer_ = NDL_PICK_TYPED(T, dense_outer);
  void (*sum_rows_)(const T*, int64_t, T*, int64_t, int64_t, bool) = NDL_PICK_TYPED(T, vec_copy);
};

}  // namespace nengo_dl
