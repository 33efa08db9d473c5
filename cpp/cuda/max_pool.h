// Max pooling: one thread per output, and per adjoint of an input, which looks for itself in all windows that it is in.
#pragma once

#include "cuda/kernel.h"
#include "cuda/place.h"
#include "ops/conv_shape.h"

namespace nengo_dl {
namespace cuda {

// What of a window lies inside of the input, in one channel.
template <class T>
struct PoolTaps {
  int rank;
  int64_t count[kMaxSpatial];  // each at least 1
  const T* first;

  // Calls f(tap) in C order until it returns false.
  template <class F>
  NDL_HD void each(const int64_t* step, F f) const {
    const int last = rank - 1;
    int64_t outer = 1;
    for (int d = 0; d < last; ++d) outer *= count[d];
    for (int64_t o = 0; o < outer; ++o) {
      Digits digits{o};
      const T* tap = first;
      for (int d = last - 1; d >= 0; --d) tap += digits.take(count[d]) * step[d];
      for (int64_t i = 0; i < count[last]; ++i, tap += step[last])
        if (!f(tap)) return;
    }
  }
};

template <class T>
struct MaxPoolOp : PlainOp {
  static constexpr int back_phases = 1;
  Place x, y;
  bool set, shared, share, channels_last;  // shared: x is in a param buffer; share: all of the largest have equal parts
  int rank;
  int64_t channels, outputs = 1, inputs = 1;  // positions
  ConvDimension dims[kMaxSpatial];
  int64_t x_step[kMaxSpatial], y_step[kMaxSpatial];  // from position to position

  MaxPoolOp(const OpRecord& op, const Program& p, Tables& tables)
      : x(op.arg("X"), tables),
        y(op.arg("Y"), tables),
        set(op.set()),
        shared(in_param(op.arg("X"), p)),
        share(op.text("ties") == "share"),
        channels_last(op.integer("channels_last") != 0),
        rank(static_cast<int>(op.integers("kernel").size())),
        channels(op.integer("channels")) {
    for (int d = rank; d-- > 0;) {
      dims[d] = {op.integers("in_shape")[d], op.integers("out_shape")[d], op.integers("kernel")[d],
                 op.integers("stride")[d], op.integers("pad")[d]};
      x_step[d] = inputs * (channels_last ? channels : 1), y_step[d] = outputs * (channels_last ? channels : 1);
      inputs *= dims[d].in, outputs *= dims[d].out;
    }
  }

  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return y.work(f, steps);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    y.put(f, t0, t1, i, team, set,
          [&](int64_t t, int64_t b, int64_t k, int64_t c) { return largest(x.view.at(f, t, b) + x.view.block(k), c); });
  }

  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    const bool asked = f.adjoint.base[x.view.buffer] && f.adjoint.base[y.view.buffer];
    return asked && shared == (pass == Pass::params) ? x.work(f.adjoint, steps) : 0;
  }
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass, int64_t i, const Team& team) const {
    x.add(f.adjoint, t0, t1, i, team, [&](int64_t t, int64_t b, int64_t k, int64_t c) {
      return adjoint(x.view.at(f.value, t, b) + x.view.block(k), y.view.at(f.adjoint, t, b) + y.view.block(k), c);
    });
  }
  NDL_HD bool back_teams(int) const { return shared; }

 private:
  // NaN is larger than any number.
  NDL_HD static bool larger(T a, T b) { return a > b || (a != a && b == b); }
  NDL_HD static bool same(T a, T b) { return a == b || (a != a && b != b); }

  struct Position {
    Digits position;
    int64_t channel;
  };
  NDL_HD Position position_of(int64_t c, int64_t positions) const {
    Digits digits{c};
    const int64_t inner = digits.take(channels_last ? channels : positions);
    return channels_last ? Position{digits, inner} : Position{{inner}, digits.rest};
  }

  // Output c.
  NDL_HD T largest(const T* input, int64_t c) const {
    Position e = position_of(c, outputs);
    PoolTaps<T> taps;
    taps.rank = rank, taps.first = input + e.channel * (channels_last ? 1 : inputs);
    for (int d = rank - 1; d >= 0; --d) meet(taps, d, e.position.take(dims[d].out));
    T most = *taps.first;
    taps.each(x_step, [&](const T* tap) {
      if (larger(*tap, most)) most = *tap;
      return true;
    });
    return most;
  }

  // What input c has of the adjoints of the outputs.
  NDL_HD T adjoint(const T* input, const T* output, int64_t c) const {
    Position e = position_of(c, inputs);
    Taps windows[kMaxSpatial];  // that it is in: `start` and those before it
    int64_t count = 1;
    for (int d = rank - 1; d >= 0; --d) {
      const ConvDimension& dim = dims[d];
      windows[d] = ConvDimension{dim.out, dim.in, dim.kernel, dim.stride, dim.pad}.transposed(e.position.take(dim.in));
      count *= windows[d].count;
    }
    T sum = 0;
    for (int64_t w = 0; w < count; ++w) {
      Digits digits{w};
      PoolTaps<T> taps;
      taps.rank = rank, taps.first = input + e.channel * (channels_last ? 1 : inputs);
      int64_t at = e.channel * (channels_last ? 1 : outputs);
      for (int d = rank - 1; d >= 0; --d) {
        const int64_t position = windows[d].start - windows[d].count + 1 + digits.take(windows[d].count);
        meet(taps, d, position), at += position * y_step[d];
      }
      if (const int64_t parts = parts_of(taps, input + c)) sum += output[at] / static_cast<T>(parts);
    }
    return sum;
  }

  NDL_HD void meet(PoolTaps<T>& taps, int d, int64_t position) const {
    const Taps met = dims[d].direct(position);
    taps.count[d] = met.count, taps.first += met.start * x_step[d];
  }

  // Into how many parts the adjoint of a window goes of which `own` gets one; 0 if it gets none.
  NDL_HD int64_t parts_of(const PoolTaps<T>& taps, const T* own) const {
    int64_t equal = 0;
    bool beaten = false;
    taps.each(x_step, [&](const T* tap) {
      const bool tied = same(*tap, *own);
      beaten = larger(*tap, *own) || (tied && !share && tap < own);
      equal += tied;
      return !beaten;
    });
    return beaten ? 0 : share ? equal : 1;
  }
};

}  // namespace cuda
}  // namespace nengo_dl
