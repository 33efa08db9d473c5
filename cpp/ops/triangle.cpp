// `triangle`: Nengo's Triangle synapse, a moving average with falling weights kept up by differences.
#include <algorithm>
#include <cmath>

#include "ops/util.h"

namespace nengo_dl {
namespace {

void check(const OpRecord& op, const Program&) {
  const int64_t n = op.arg("x").count(), taps = check_rank(op, "X", 2)[0];
  need_shape(op, "x", {n});
  need_shape(op, "y", {n});
  need_shape(op, "Y", {n});
  if (taps < 1) op.fail("'X' has no rows, at least 1 tap was due");
  need_shape(op, "X", {taps, n});
  need_shape(op, "Xi", {1});
  op.number("n0");
  op.number("ndiff");
}

// The row after the one that Xi names, by Python's modulo; a state that names no row counts as the last one.
template <class T>
int64_t next_row(T Xi, int64_t taps) {
  T next = std::fmod(Xi + T(1), static_cast<T>(taps));
  if (next < T(0)) next += static_cast<T>(taps);
  if (!(next >= T(0) && next < static_cast<T>(taps))) return 0;
  return std::min(static_cast<int64_t>(next), taps - 1);
}

template <class T>
class TriangleOp : public Op<T> {
 public:
  TriangleOp(const OpRecord& op, const Program&)
      : x_(op.arg("x")),
        y_(op.arg("y")),
        Y_(op.arg("Y")),
        X_(op.arg("X")),
        Xi_(op.arg("Xi")),
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
        for (size_t k = 0; k < x_.offsets.size(); k++)
          step(x_.at(f, t, b) + x_.offsets[k], y_.at(f, t, b) + y_.offsets[k], Y_.at(f, t, b) + Y_.offsets[k],
               X_.at(f, t, b) + X_.offsets[k], Xi_.at(f, t, b) + Xi_.offsets[k]);
    }
  }

 private:
  void step(const T* x, T* y, T* Y, T* X, T* Xi) const {
    constexpr int64_t kChunk = 64;
    const int64_t sx = stride_of(x_, 0), sy = stride_of(y_, 0), sY = stride_of(Y_, 0);
    const int64_t row = X_.strides[0], column = X_.strides[1], next = next_row(*Xi, taps_);
    for (int64_t first = 0; first < n_; first += kChunk) {
      const int64_t count = std::min(kChunk, n_ - first);
      T sum[kChunk] = {};
      for (int64_t k = 0; k < taps_; k++)
        for (int64_t i = 0; i < count; i++) sum[i] += X[k * row + (first + i) * column];
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

  Access1 x_, y_, Y_, X_, Xi_;
  int64_t n_, taps_;
  T n0_, ndiff_;
};

OpRegistration registration(make_spec<TriangleOp>("triangle",
                                                  {{"x", Access::read, -1},
                                                   {"y", Access::write, -1},
                                                   {"Y", Access::update, -1},
                                                   {"X", Access::update, 2},
                                                   {"Xi", Access::update, -1}},
                                                  {"n0", "ndiff"}, check));

}  // namespace
}  // namespace nengo_dl
