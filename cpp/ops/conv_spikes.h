// A convolution of inputs that are mostly 0, as spikes are: those alone that are not.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/sparse.h"
#include "ops/conv_shape.h"

namespace nengo_dl {

template <class T>
class ConvSpikes {
 public:
  // `fits`: what conv_fits says of the shape.
  ConvSpikes(const ConvShape& shape, bool fits) {
    constexpr int64_t kChannels = 8;     // fewer are a picture
    constexpr int64_t kPairs = 1 << 17;  // of positions and taps, so many of which the cache holds
    if (!fits || !shape.channels_last || shape.transposed || shape.groups != 1) return;
    if (shape.in_channels < kChannels || shape.inputs() * shape.taps() > kPairs) return;
    const int64_t inputs = shape.inputs() * shape.in_channels, outputs = shape.outputs() * shape.out_channels;
    if (std::max({inputs, outputs, shape.weights()}) > INT32_MAX) return;
    inputs_ = inputs, outputs_ = outputs;
    fired_.in_channels = static_cast<int32_t>(shape.in_channels), fired_.out_channels = shape.out_channels;
    int64_t at[kMaxSpatial] = {};
    for (int64_t p = shape.inputs(); p-- > 0; next(shape, &ConvDimension::in, at)) {
      start_.push_back(static_cast<int32_t>(out_at_.size()));
      join(shape, at);
    }
    start_.push_back(static_cast<int32_t>(out_at_.size()));
  }

  // Whether run() may be asked, if all weights are finite.
  bool possible() const { return !start_.empty(); }

  // Whether Y (+)= W * X of one item was done. If not, few inputs are 0, and nothing was.
  bool run(const T* W, const T* X, T* Y, bool set) const {
    constexpr int64_t kWorth = 12;  // measured: of so many inputs, one that is not 0
    int32_t* const at = scratch_or_null<int32_t>(inputs_ + kSparseRoom);
    if (!at) return false;
    const int64_t count = find_(X, inputs_, at);
    if (count * kWorth > inputs_) return false;
    if (set) std::fill(Y, Y + outputs_, T(0));
    ConvFired<T> f = fired_;
    f.x = X, f.weight = W, f.out = Y, f.at = at, f.count = count;
    f.start = start_.data(), f.weight_at = weight_at_.data(), f.out_at = out_at_.data();
    run_(f);
    return true;
  }

 private:
  static void next(const ConvShape& shape, int64_t ConvDimension::*length, int64_t* at) {
    for (int d = shape.rank - 1; d >= 0 && ++at[d] == shape.dims[d].*length; d--) at[d] = 0;
  }

  // The taps that join a position of the input to one of the output.
  void join(const ConvShape& shape, const int64_t* position) {
    int64_t tap[kMaxSpatial] = {};
    for (int64_t k = 0; k < shape.taps(); k++, next(shape, &ConvDimension::kernel, tap)) {
      int64_t out = 0;
      bool meets = true;
      for (int d = 0; d < shape.rank; d++) {
        const ConvDimension& c = shape.dims[d];
        const int64_t from = position[d] + c.pad - tap[d];
        meets = meets && from >= 0 && from % c.stride == 0 && from / c.stride < c.out;
        out = out * c.out + from / c.stride;
      }
      if (!meets) continue;
      weight_at_.push_back(static_cast<int32_t>(k * shape.in_channels * shape.out_channels));
      out_at_.push_back(static_cast<int32_t>(out * shape.out_channels));
    }
  }

  int64_t inputs_ = 0, outputs_ = 0;                 // elements of an item
  std::vector<int32_t> start_, weight_at_, out_at_;  // as in ConvFired; empty if inputs must not be left out
  ConvFired<T> fired_{};
  void (*run_)(const ConvFired<T>&) = NDL_PICK_TYPED(T, conv_fired);
  int64_t (*find_)(const T*, int64_t, int32_t*) = NDL_PICK_TYPED(T, sparse_fired);
};

}  // namespace nengo_dl
