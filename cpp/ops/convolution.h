// The maths of `conv` and `conv_transpose`: the maps from input to output and from both to the gradient of the weights.
#pragma once

#include <algorithm>
#include <vector>

#include "ops/conv_series.h"

namespace nengo_dl {

// y (+)= W * x: along each dimension the taps that meet the input are an arithmetic series, and so are the positions
// that the same taps meet. All of those, of all items, are one call of a kernel.
// `Weights::swapped`: W lies as that of the swapped shape (tap, out / groups, in), and the channels of x are innermost.
template <class T>
class Convolution {
 public:
  enum class Weights { plain, swapped };

  explicit Convolution(const ConvShape& shape, Weights weights = Weights::plain)
      : groups_(shape.groups),
        output_step_(shape.steps(&ConvDimension::out, shape.channels_last ? shape.out_channels : 1)),
        weight_step_(shape.steps(&ConvDimension::kernel, shape.in_channels / shape.groups * shape.out_channels)) {
    const bool swapped = weights == Weights::swapped, innermost = swapped || shape.channels_last;
    const bool each = shape.each_its_own();
    run_ = swapped ? NDL_PICK_TYPED(T, conv_dots)
           : each  ? NDL_PICK_TYPED(T, conv_each)
                   : NDL_PICK_TYPED(T, conv_points);
    input_step_ = shape.steps(&ConvDimension::in, innermost ? shape.in_channels : 1);
    if (each && !swapped) groups_ = 1;
    ConvPoints<T>& p = points_;
    p.rank = shape.rank, p.grid.rank = shape.rank + 1;
    p.in_channels = shape.in_channels / shape.groups;
    p.out_channels = shape.out_channels / groups_;
    p.weight_channel = swapped ? shape.in_channels : shape.out_channels;
    p.input_channel = innermost ? 1 : shape.inputs();
    p.out_step = shape.channels_last ? 1 : shape.outputs();
    weight_group_ = swapped ? p.in_channels : p.out_channels;
    for (int d = 0; d < p.rank; d++) {
      const bool transposed = shape.transposed;
      p.weight_step[d] = weight_step_[d] * (transposed ? shape.dims[d].stride : 1);
      p.input_step[d] = transposed ? -input_step_[d] : input_step_[d];
      series_.emplace_back(shape.dims[d], transposed);
    }
  }

  // Whether sums get the terms of all channels of a tap before those of the next one.
  bool goes_tap_by_tap(const ConvShape& shape) const {
    ConvPoints<T> p = points_;
    for (int d = 0; d < p.rank; d++) p.taps[d] = shape.dims[d].kernel;
    return run_ == NDL_PICK_TYPED(T, conv_points) && NDL_PICK_TYPED(T, conv_fits)(p);
  }

  // Of items that lie X_item and Y_item apart; what several of them write lies in several places.
  void run(const T* W, const T* X, int64_t X_item, T* Y, int64_t Y_item, int64_t items, bool set) const {
    ConvPoints<T> p = points_;
    p.set = set;
    p.grid.count[0] = items, p.grid.input_step[0] = X_item, p.grid.out_step[0] = Y_item;
    AllSeries::Place at[kMaxSpatial];
    for (int d = 0; d < p.rank; d++) at[d] = series_[d].begin();
    for (bool more = true; more;) {
      int64_t weight = 0, input = 0, output = 0;
      for (int d = 0; d < p.rank; d++) {
        const Series& s = at[d].series;
        p.taps[d] = s.taps.count;
        p.grid.count[d + 1] = s.count;
        p.grid.input_step[d + 1] = s.move * input_step_[d], p.grid.out_step[d + 1] = s.step * output_step_[d];
        output += s.position * output_step_[d];
        if (s.taps.count == 0) continue;  // first and start name nothing then
        weight += s.taps.first * weight_step_[d];
        input += s.taps.start * input_step_[d];
      }
      for (int64_t g = 0; g < groups_; g++) {
        p.weight = W + weight + g * weight_group_;
        p.input = X + input + g * p.in_channels * p.input_channel;
        p.out = Y + output + g * p.out_channels * p.out_step;
        run_(p);
      }
      more = false;
      for (int d = p.rank - 1; d >= 0 && !more; d--) more = series_[d].next(&at[d]);
    }
  }

 private:
  int64_t groups_, weight_group_;  // calls for each grid, and how far apart their weights are
  std::vector<AllSeries> series_;  // by dimension
  std::vector<int64_t> output_step_, weight_step_, input_step_;  // elements from tap to tap and position to position
  ConvPoints<T> points_{};
  void (*run_)(const ConvPoints<T>&);
};

// dx (+)= the adjoint of the convolution of dy: the transposed one, or the other way round. Few input channels would
// leave most lanes of a vector of them empty; then the sums go over vectors of output channels, and W can stay as it
// is.
template <class T>
class ConvAdjoint {
  using Weights = typename Convolution<T>::Weights;

 public:
  explicit ConvAdjoint(const ConvShape& shape)
      : shape_(shape), few_(is_few(shape)), adjoint_(shape.swapped(), few_ ? Weights::swapped : Weights::plain) {}

  // W as add() takes it; in memory that is lent until the thread next asks for some.
  const T* prepared(const T* W) const {
    if (few_) return W;
    T* to = scratch<T>(shape_.weights());
    shape_.swap_channels(W, to);
    return to;
  }
  // Whether add() takes several items.
  bool together() const { return !few_ || shape_.channels_last; }
  void add(const T* W, const T* dY, int64_t dY_item, T* dX, int64_t dX_item, int64_t items, bool set) const {
    adjoint_.run(W, few_ ? shape_.outputs_channels_last(dY) : dY, dY_item, dX, dX_item, items, set);
  }

 private:
  static bool is_few(const ConvShape& s) {
    const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
    return in < 8 && out > 2 * in;
  }

  ConvShape shape_;
  bool few_;
  Convolution<T> adjoint_;
};

// dW += x dy, tap by tap: the positions that a tap joins are an arithmetic series in each dimension.
template <class T>
class ConvProducts {
 public:
  explicit ConvProducts(const ConvShape& shape)
      : shape_(shape),
        input_step_(shape.steps(&ConvDimension::in, shape.channels_last ? shape.in_channels : 1)),
        output_step_(shape.steps(&ConvDimension::out, shape.out_channels)),
        groups_(shape.each_its_own() ? 1 : shape.groups),
        lines_(lines_at_once()),
        run_(shape.each_its_own() ? NDL_PICK_TYPED(T, conv_sums_each) : NDL_PICK_TYPED(T, conv_sums)) {
    ConvSums<T>& s = sums_;
    s.rank = shape.rank + 1;
    s.in_channels = shape.in_channels / shape.groups;
    s.out_channels = shape.out_channels / groups_;
    s.weight_channel = shape.out_channels;
    s.input_channel = shape.channels_last ? 1 : shape.inputs();
    for (int d = 1; d < s.rank; d++) {
      const int64_t stride = shape.dims[d - 1].stride;
      s.input_step[d] = input_step_[d - 1] * (shape.transposed ? 1 : stride);
      s.output_step[d] = output_step_[d - 1] * (shape.transposed ? stride : 1);
    }
    group_step_ = s.in_channels * s.input_channel;
    if (s.in_channels == 1) s.input_channel = input_step_.back();  // of taps, which may be joined
    // taps of the last dimension that join the same outputs to inputs side by side are as many more input channels
    const bool rows = input_step_.back() == s.in_channels * s.input_channel;
    if (rows && !shape.transposed && !shape.each_its_own()) joined_taps_ = JoinedTaps(shape.dims[shape.rank - 1]);
  }

  // So many of `batch` items are worth a sum of their own: sums are long, and what they read stays in the cache.
  int64_t items(int64_t batch) const {
    constexpr int64_t kLong = 256;
    if (!shape_.channels_last) return 1;
    return std::clamp<int64_t>(kLong / std::min(shape_.inputs(), shape_.outputs()), 1, batch);
  }

  void add(const T* X, int64_t X_item, const T* dY, int64_t dY_item, int64_t items, T* dW) const {
    ConvSums<T> s = sums_;
    s.count[0] = items, s.input_step[0] = X_item, s.output_step[0] = dY_item;
    dY = shape_.outputs_channels_last(dY);
    for (int64_t line = 0; line < small_lines(); line += lines_) add_lines(&s, line, X, dY, dW);
  }

 private:
  // Positions along the first dimension of the smaller image.
  int64_t small_lines() const { return shape_.transposed ? shape_.dims[0].in : shape_.dims[0].out; }

  // So many of them that what all taps read of them stays in the first-level cache, where every number is read for each
  // tap anew; elsewhere it is used for several channels.
  int64_t lines_at_once() const {
    constexpr int64_t kBytes = 16384;
    const int64_t lines = std::max<int64_t>(1, small_lines());
    if (!shape_.each_its_own()) return lines;
    const int64_t elements = (shape_.inputs() + shape_.outputs()) / lines * shape_.out_channels;
    return std::clamp<int64_t>(kBytes / static_cast<int64_t>(sizeof(T)) / std::max<int64_t>(1, elements), 1, lines);
  }

  // From `line` on, as many as are taken at once.
  void add_lines(ConvSums<T>* sums, int64_t line, const T* X, const T* dY, T* dW) const {
    ConvSums<T>& s = *sums;
    const int last = s.rank - 2;
    const int64_t channels = s.in_channels, tap_size = channels * shape_.out_channels;
    int64_t at[kMaxSpatial] = {}, together;
    for (int64_t left = shape_.taps(); left > 0; left -= together, dW += together * tap_size) {
      together = joined_taps_.from(at[last]);
      int64_t input = 0, output = 0;
      bool empty = false;
      for (int d = 1; d < s.rank; d++) {
        Joined j = shape_.dims[d - 1].joined(at[d - 1], shape_.transposed);
        if (d == 1) j.keep(line, line + lines_, shape_.dims[0].stride);
        s.count[d] = j.count;
        empty = empty || j.count == 0;
        input += (shape_.transposed ? j.small : j.large) * input_step_[d - 1];
        output += (shape_.transposed ? j.large : j.small) * output_step_[d - 1];
      }
      s.in_channels = channels * together;
      for (int64_t g = 0; g < groups_ && !empty; g++) {
        s.input = X + input + g * group_step_;
        s.output = dY + output + g * s.out_channels;
        s.weight = dW + g * s.out_channels;
        run_(s);
      }
      at[last] += together - 1;
      for (int d = last; d >= 0 && ++at[d] == shape_.dims[d].kernel; d--) at[d] = 0;
    }
    s.in_channels = channels;
  }

  ConvShape shape_;
  std::vector<int64_t> input_step_, output_step_;  // elements from position to position
  JoinedTaps joined_taps_;                         // of the last dimension
  int64_t groups_, lines_;                         // calls for each tap; lines of positions at once
  int64_t group_step_;                             // from the inputs of a group to those of the next
  ConvSums<T> sums_{};
  void (*run_)(const ConvSums<T>&);
};

}  // namespace nengo_dl
