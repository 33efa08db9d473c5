// `triangle`: Nengo's Triangle synapse, a moving average with falling weights kept up by differences.
#include "ops/triangle.h"

#include <algorithm>

#include "engine/backend.h"
#include "engine/kind.h"
#include "kernels/dense_kernels.h"
#include "ops/adjoint.h"
#include "ops/util.h"

namespace nengo_dl {
namespace {

void check(const OpRecord& op, const Program&) {
  const int64_t n = op.arg("x").count(), taps = op.arg("X").shape[0];
  need_shape(op, "x", {n});
  need_shape(op, "y", {n});
  need_shape(op, "Y", {n});
  need_shape(op, "X", {taps, n});
  need_shape(op, "Xi", {1});
}

template <class T>
class TriangleKernel : public Kernel<T> {
 public:
  TriangleKernel(const OpRecord& op, const Program& p)
      : x_(op.arg("x")),
        y_(op.arg("y")),
        Y_(op.arg("Y")),
        X_(op.arg("X")),
        Xi_(op.arg("Xi")),
        constant_(in_param(op.arg("x"), p)),
        n_(op.arg("x").count()),
        taps_(op.arg("X").shape[0]),
        n0_(static_cast<T>(op.number("n0"))),
        ndiff_(static_cast<T>(op.number("ndiff"))) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    for (int64_t t = t0; t < t1; t++) {
      advance(f, Y_, t);
      advance(f, X_, t);
      advance(f, Xi_, t);
      for (int64_t b = 0; b < f.batch; b++)
        for (int64_t k = 0; k < x_.blocks; k++)
          step(x_.at(f, t, b) + x_.offsets[k], y_.at(f, t, b) + y_.offsets[k], Y_.at(f, t, b) + Y_.offsets[k],
               X_.at(f, t, b) + X_.offsets[k], Xi_.at(f, t, b) + Xi_.offsets[k]);
    }
  }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    for (int64_t t = t1; t-- > t0;)
      for (int64_t b = 0; b < f.adjoint.batch; b++)
        for (int64_t k = 0; k < x_.blocks; k++) {
          const Back back = adjoints(f, t, b, k);
          if (!constant_) back_to_x(back);
          back_to_states(back);
          T* Xi = adjoint_at(f, Xi_, t, b);
          if (Xi && old_row(f.adjoint, Xi_) == 0) Xi[Xi_.offsets[k]] = 0;
        }
  }

  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (!constant_) return;
    for (int64_t t = t1; t-- > t0;)
      for (int64_t b = 0; b < f.adjoint.batch; b++)
        for (int64_t k = 0; k < x_.blocks; k++) back_to_x(adjoints(f, t, b, k));
  }

 private:
  struct Back {  // adjoints of one block at one step (null: not wanted), and where the newest difference was put
    T *x, *y, *Y, *X;
    int64_t Y_row, X_row, next;  // rows: back to the old values
  };

  Back adjoints(const GradFrame<T>& f, int64_t t, int64_t b, int64_t k) const {
    const auto block = [&](const View& o) {
      T* p = adjoint_at(f, o, t, b);
      return p ? p + o.offsets[k] : nullptr;
    };
    const T* old_Xi = Xi_.at(f.value, t, b) - Xi_.shift * f.value.row[Xi_.buffer] + Xi_.offsets[k];
    return {block(x_),
            block(y_),
            block(Y_),
            block(X_),
            old_row(f.adjoint, Y_),
            old_row(f.adjoint, X_),
            next_row(*old_Xi, taps_)};
  }

  // y and the new Y are one value: its adjoint is the sum of theirs.
  T adjoint_of_sum(const Back& a, int64_t e) const {
    return (a.y ? a.y[e * stride_of(y_, 0)] : T(0)) + (a.Y ? a.Y[e * stride_of(Y_, 0)] : T(0));
  }

  void back_to_x(const Back& a) const {
    if (!a.x) return;
    const int64_t sx = stride_of(x_, 0);
    const T* newest = a.X ? a.X + a.next * X_.strides[0] : nullptr;
    for (int64_t e = 0; e < n_; e++)
      a.x[e * sx] += n0_ * adjoint_of_sum(a, e) + (newest ? ndiff_ * newest[e * X_.strides[1]] : T(0));
  }

  void back_to_states(const Back& a) const {
    const int64_t sY = stride_of(Y_, 0);
    for (int64_t k = 0; a.X && k < taps_; k++)
      for (int64_t e = 0; e < n_; e++) {
        T& now = a.X[k * X_.strides[0] + e * X_.strides[1]];
        T& old = *(&now - a.X_row);
        const T kept = k == a.next ? T(0) : now;  // the newest difference took the place of the oldest
        old = (a.X_row ? old : T(0)) + kept - adjoint_of_sum(a, e);
      }
    for (int64_t e = 0; a.Y && e < n_; e++) {
      T& old = *(a.Y + e * sY - a.Y_row);
      old = (a.Y_row ? old : T(0)) + adjoint_of_sum(a, e);
    }
  }

  // All differences of some elements, in the order of their rows.
  void sum_rows(const T* X, int64_t count, T* sum) const {
    constexpr int64_t kMany = 8;  // elements that are worth a call for each row
    const int64_t row = X_.strides[0], column = X_.strides[1];
    std::fill(sum, sum + count, T(0));
    if (count >= kMany)
      for (int64_t k = 0; k < taps_; k++) add_(X + k * row, column, sum, 1, count, false);
    else
      for (int64_t k = 0; k < taps_; k++)
        for (int64_t i = 0; i < count; i++) sum[i] += X[k * row + i * column];
  }

  void step(const T* x, T* y, T* Y, T* X, T* Xi) const {
    constexpr int64_t kChunk = 1024;
    const int64_t sx = stride_of(x_, 0), sy = stride_of(y_, 0), sY = stride_of(Y_, 0);
    const int64_t row = X_.strides[0], column = X_.strides[1], next = next_row(*Xi, taps_);
    for (int64_t first = 0; first < n_; first += kChunk) {
      const int64_t count = std::min(kChunk, n_ - first);
      T sum[kChunk];
      sum_rows(X + first * column, count, sum);
      for (int64_t i = 0; i < count; i++) {
        const int64_t e = first + i;
        const T value = Y[e * sY] + n0_ * x[e * sx] - sum[i], newest = ndiff_ * x[e * sx];
        Y[e * sY] = value;
        y[e * sy] = value;
        X[next * row + e * column] = newest;
      }
    }
    *Xi = static_cast<T>(next);
  }

  View x_, y_, Y_, X_, Xi_;
  bool constant_;  // x is in a param buffer
  int64_t n_, taps_;
  T n0_, ndiff_;
  void (*add_)(const T*, int64_t, T*, int64_t, int64_t, bool) = NDL_PICK_TYPED(T, vec_copy);
};

Kind kind() {
  Kind k{"triangle",
         {{"x", Access::read},
          {"y", Access::write, -1, false, false},
          {"Y", Access::update},
          {"X", Access::update, 2},
          {"Xi", Access::update}},
         {{"n0", AttrType::number}, {"ndiff", AttrType::number}}};
  k.gradient = Gradient::exact;
  k.reads = {"Xi"};
  k.check = check;
  return k;
}

const KindRegistration triangle(kind());
const CpuKernel<TriangleKernel> kernel("triangle");

}  // namespace
}  // namespace nengo_dl
