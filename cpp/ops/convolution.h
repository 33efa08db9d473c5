// The maths of `conv` and `conv_transpose`: the maps from input to output and from both to the gradient of the weights.
#pragma once

#include <algorithm>
#include <vector>

#include "ops/conv_shape.h"

namespace nengo_dl {

// y (+)= W * x, output by output: along each dimension the taps that meet the input are an arithmetic series.
// `Weights::swapped`: W lies as that of the swapped shape (tap, out / groups, in), and the channels of x are innermost.
template <class T>
class Convolution {
 public:
  enum class Weights { plain, swapped };

  explicit Convolution(const ConvShape& shape, Weights weights = Weights::plain)
      : shape_(shape),
        positions_(shape.outputs()),
        position_step_(shape.channels_last ? shape.out_channels : 1),
        weight_step_(shape.steps(&ConvDimension::kernel, shape.in_channels / shape.groups * shape.out_channels)) {
    const bool swapped = weights == Weights::swapped, innermost = swapped || shape.channels_last;
    run_ = swapped ? NDL_PICK_TYPED(T, conv_dots) : NDL_PICK_TYPED(T, conv_point);
    input_step_ = shape.steps(&ConvDimension::in, innermost ? shape.in_channels : 1);
    ConvPoint<T>& p = point_;
    p.rank = shape.rank;
    p.in_channels = shape.in_channels / shape.groups;
    p.out_channels = shape.out_channels / shape.groups;
    p.weight_channel = swapped ? shape.in_channels : shape.out_channels;
    p.input_channel = innermost ? 1 : shape.inputs();
    p.out_step = shape.channels_last ? 1 : positions_;
    weight_group_ = swapped ? p.in_channels : p.out_channels;
    for (int d = 0; d < p.rank; d++) {
      p.weight_step[d] = weight_step_[d] * (shape.transposed ? shape.dims[d].stride : 1);
      p.input_step[d] = shape.transposed ? -input_step_[d] : input_step_[d];
    }
  }

  void run(const T* W, const T* X, T* Y, bool set) const {
    ConvPoint<T> p = point_;
    p.set = set;
    int64_t at[kMaxSpatial] = {};
    for (int64_t position = 0; position < positions_; position++, Y += position_step_) {
      int64_t weight = 0, input = 0;
      for (int d = 0; d < p.rank; d++) {
        const ConvDimension& dim = shape_.dims[d];
        const Taps taps = shape_.transposed ? dim.transposed(at[d]) : dim.direct(at[d]);
        p.taps[d] = taps.count;
        if (taps.count == 0) continue;  // first and start name nothing then
        weight += taps.first * weight_step_[d];
        input += taps.start * input_step_[d];
      }
      for (int64_t g = 0; g < shape_.groups; g++) {
        p.weight = W + weight + g * weight_group_;
        p.input = X + input + g * p.in_channels * p.input_channel;
        p.out = Y + g * p.out_channels * p.out_step;
        run_(p);
      }
      for (int d = p.rank - 1; d >= 0 && ++at[d] == shape_.dims[d].out; d--) at[d] = 0;
    }
  }

 private:
  ConvShape shape_;
  int64_t positions_, position_step_, weight_group_;
  std::vector<int64_t> weight_step_, input_step_;  // elements from tap to tap and from input position to position
  ConvPoint<T> point_{};
  void (*run_)(const ConvPoint<T>&);
};

// dx += the adjoint of the convolution of dy: the transposed one, or the other way round. Few input channels would
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
  void add(const T* W, const T* dY, T* dX) const {
    adjoint_.run(W, few_ ? shape_.outputs_channels_last(dY) : dY, dX, false);
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
        run_(NDL_PICK_TYPED(T, conv_sums)) {
    ConvSums<T>& s = sums_;
    s.rank = shape.rank + 1;
    s.in_channels = shape.in_channels / shape.groups;
    s.out_channels = shape.out_channels / shape.groups;
    s.weight_channel = shape.out_channels;
    s.input_channel = shape.channels_last ? 1 : shape.inputs();
    for (int d = 1; d < s.rank; d++) {
      const int64_t stride = shape.dims[d - 1].stride;
      s.input_step[d] = input_step_[d - 1] * (shape.transposed ? 1 : stride);
      s.output_step[d] = output_step_[d - 1] * (shape.transposed ? stride : 1);
    }
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
    int64_t at[kMaxSpatial] = {};
    const int64_t tap_size = s.in_channels * shape_.out_channels;
    for (int64_t tap = shape_.taps(); tap-- > 0; dW += tap_size) {
      int64_t input = 0, output = 0;
      bool empty = false;
      for (int d = 1; d < s.rank; d++) {
        const Joined j = shape_.dims[d - 1].joined(at[d - 1], shape_.transposed);
        s.count[d] = j.count;
        empty = empty || j.count == 0;
        input += (shape_.transposed ? j.small : j.large) * input_step_[d - 1];
        output += (shape_.transposed ? j.large : j.small) * output_step_[d - 1];
      }
      for (int64_t g = 0; g < shape_.groups && !empty; g++) {
        s.input = X + input + g * s.in_channels * s.input_channel;
        s.output = dY + output + g * s.out_channels;
        s.weight = dW + g * s.out_channels;
        run_(s);
      }
      for (int d = s.rank - 2; d >= 0 && ++at[d] == shape_.dims[d].kernel; d--) at[d] = 0;
    }
  }

 private:
  ConvShape shape_;
  std::vector<int64_t> input_step_, output_step_;  // elements from position to position
  ConvSums<T> sums_{};
  void (*run_)(const ConvSums<T>&);
};

}  // namespace nengo_dl
