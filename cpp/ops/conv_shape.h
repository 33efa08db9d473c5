// The shape of a convolution, and which of its taps meet which positions. Plain data.
#pragma once

#include <utility>
#include <vector>

#include "kernels/conv.h"
#include "ops/util.h"

namespace nengo_dl {

// The taps of one dimension that meet the input: `count` of them, the first being tap `first` at input `start`.
struct Taps {
  int64_t count, first, start;
};

// The positions of the smaller image that one tap joins to positions of the larger: `count` of them, the first being
// `small`, joined to `large`; the next one is 1 further here and `stride` further there.
struct Joined {
  int64_t count, small, large;

  // Only those from position `begin` of the smaller image on, and before `end`.
  void keep(int64_t begin, int64_t end, int64_t stride) {
    const int64_t last = small + count < end ? small + count : end, skipped = small < begin ? begin - small : 0;
    small += skipped, large += skipped * stride;
    count = last > small ? last - small : 0;
  }
};

struct ConvDimension {
  int64_t in, out, kernel, stride, pad;

  NDL_BOTH Taps direct(int64_t position) const {
    const int64_t begin = position * stride - pad, first = begin < 0 ? -begin : 0;
    const int64_t end = smaller(kernel, in - begin);
    return {end > first ? end - first : 0, first, begin + first};
  }
  // Tap k takes input p where p stride + k - pad is the position: p falls by 1 while k grows by stride.
  NDL_BOTH Taps transposed(int64_t position) const {
    const int64_t sum = position + pad;
    int64_t first = sum % stride, start = sum / stride;
    if (start >= in) {
      first += (start - in + 1) * stride;
      start = in - 1;
    }
    const int64_t taps = first < kernel ? (kernel - 1 - first) / stride + 1 : 0;
    return {smaller(taps, start + 1), first, start};
  }
  NDL_BOTH Joined joined(int64_t tap, bool transposed) const {
    const int64_t small = transposed ? in : out, large = transposed ? out : in, shift = tap - pad;
    const int64_t first = shift < 0 ? (-shift + stride - 1) / stride : 0;
    const int64_t room = large - 1 - shift;  // that first stride may have at most
    const int64_t last = room < 0 ? -1 : smaller(small - 1, room / stride);
    return {last >= first ? last - first + 1 : 0, first, first * stride + shift};
  }

 private:
  NDL_BOTH static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
};

struct ConvShape {
  bool transposed, channels_last;
  int rank;  // spatial dimensions
  int64_t groups, in_channels, out_channels;
  ConvDimension dims[kMaxSpatial];

  ConvShape(const OpRecord& op, bool transposed)
      : transposed(transposed),
        channels_last(op.integer("channels_last") != 0),
        rank(static_cast<int>(op.integers("kernel").size())),
        groups(op.integer("groups")),
        in_channels(op.integer("in_channels")),
        out_channels(op.integer("out_channels")) {
    for (int d = 0; d < rank; d++)
      dims[d] = {op.integers("in_shape")[d], op.integers("out_shape")[d], op.integers("kernel")[d],
                 op.integers("stride")[d], op.integers("pad")[d]};
  }

  // From what was the output to what was the input.
  ConvShape swapped() const {
    ConvShape s = *this;
    s.transposed = !transposed;
    std::swap(s.in_channels, s.out_channels);
    for (int d = 0; d < rank; d++) std::swap(s.dims[d].in, s.dims[d].out);
    return s;
  }

  // Every output channel has an input channel of its own, and all of them lie side by side.
  bool each_its_own() const { return channels_last && groups > 1 && groups == in_channels && groups == out_channels; }

  int64_t taps() const { return product(&ConvDimension::kernel); }
  int64_t inputs() const { return product(&ConvDimension::in); }  // positions
  int64_t outputs() const { return product(&ConvDimension::out); }
  int64_t weights() const { return taps() * in_channels / groups * out_channels; }

  // Elements from one position to the next, per dimension, where the last of them lie `step` apart.
  std::vector<int64_t> steps(int64_t ConvDimension::*length, int64_t step) const {
    std::vector<int64_t> found(rank);
    for (int d = rank; d-- > 0; step *= dims[d].*length) found[d] = step;
    return found;
  }

  // Weights of this shape as those of the swapped one: (tap, in / groups, out) to (tap, out / groups, in).
  template <class T>
  void swap_channels(const T* from, T* to) const {
    const int64_t in = in_channels / groups, out = out_channels / groups;
    for (int64_t tap = taps(); tap-- > 0; from += in * out_channels, to += out * in_channels)
      for (int64_t g = 0; g < groups; g++)
        for (int64_t o = 0; o < out; o++)
          for (int64_t i = 0; i < in; i++) to[o * in_channels + g * in + i] = from[i * out_channels + g * out + o];
  }

  // Outputs with their channels innermost; in memory that is lent until the thread next asks for some.
  template <class T>
  const T* outputs_channels_last(const T* from) const {
    const int64_t positions = outputs();
    if (channels_last) return from;
    T* to = scratch<T>(out_channels * positions);
    for (int64_t c = 0; c < out_channels; c++)
      for (int64_t p = 0; p < positions; p++) to[p * out_channels + c] = from[c * positions + p];
    return to;
  }

 private:
  int64_t product(int64_t ConvDimension::*length) const {
    int64_t n = 1;
    for (int d = 0; d < rank; d++) n *= dims[d].*length;
    return n;
  }
};

}  // namespace nengo_dl
