// The faces of the convolution kernels.
#pragma once

#include <stdint.h>

#include "engine/isa.h"

namespace nengo_dl {

constexpr int kMaxSpatial = 8;

// Output positions that the same taps meet, of any number of items: how many in each dimension, and how far apart.
struct ConvGrid {
  int rank;  // 1 (items) + spatial dimensions
  int64_t count[kMaxSpatial + 1], input_step[kMaxSpatial + 1], out_step[kMaxSpatial + 1];
};

// All output channels of one group at the positions of a grid:
// out[o] (+)= sum over taps and input channels c of weight[tap, c, o] input[tap, c]. Strides are in elements.
// A sum is one chain that begins with what is added to; it depends on the taps and channels alone.
template <class T>
struct ConvPoints {
  ConvGrid grid;
  int rank;  // spatial dimensions
  int64_t taps[kMaxSpatial], weight_step[kMaxSpatial], input_step[kMaxSpatial];
  const T *weight, *input;  // at the first tap of the first position
  T* out;
  int64_t in_channels, out_channels;                // of the group
  int64_t weight_channel, input_channel, out_step;  // distances: of input channels in weights and input; of outputs
  bool set;
};

// conv_each: out[o] (+)= sum over taps of weight[tap, o] input[tap, o]; inputs lie side by side, as outputs do.

// conv_dots: the same for few output channels of many input channels, which lie side by side in `input` and `weight`;
// `weight_channel` is then the distance of output channels, and the sums go over vectors of input channels.

// The inputs of one item and step that are not 0, one group, channels innermost. Input element i belongs to position
// i / in_channels; joined to it are the taps and outputs start[position] .. start[position + 1]-1:
// out[out_at[k] + o] += weight[weight_at[k] + channel * out_channels + o] x[i]. The bits of conv_points of all inputs,
// if all weights are finite and conv_fits says so of the points with all taps: sums get their terms in the same order.
template <class T>
struct ConvFired {
  const T *x, *weight;
  T* out;
  const int32_t* at;  // elements that are not 0, ascending
  int64_t count;
  const int32_t *start, *weight_at, *out_at;
  int32_t in_channels;
  int64_t out_channels;
};

// The gradient of the weights of one tap of one group:
// weight[c, o] += sum over items and positions of input[position, c] output[position, o]. Output channels lie side by
// side in `weight` and `output` (adjoints). conv_sums_each: weight[o] += sum of input[position, o] output[position, o].
template <class T>
struct ConvSums {
  int rank;  // 1 (items) + spatial dimensions
  int64_t count[kMaxSpatial + 1], input_step[kMaxSpatial + 1], output_step[kMaxSpatial + 1];
  const T *input, *output;
  T* weight;
  int64_t in_channels, out_channels;      // of the group
  int64_t weight_channel, input_channel;  // distances of input channels
};

NDL_DECLARE_KERNEL(void, conv_points32, (const ConvPoints<float>& points))
NDL_DECLARE_KERNEL(void, conv_points64, (const ConvPoints<double>& points))
NDL_DECLARE_KERNEL(bool, conv_fits32, (const ConvPoints<float>& points))
NDL_DECLARE_KERNEL(bool, conv_fits64, (const ConvPoints<double>& points))
NDL_DECLARE_KERNEL(void, conv_fired32, (const ConvFired<float>& fired))
NDL_DECLARE_KERNEL(void, conv_fired64, (const ConvFired<double>& fired))
NDL_DECLARE_KERNEL(void, conv_each32, (const ConvPoints<float>& points))
NDL_DECLARE_KERNEL(void, conv_each64, (const ConvPoints<double>& points))
NDL_DECLARE_KERNEL(void, conv_dots32, (const ConvPoints<float>& points))
NDL_DECLARE_KERNEL(void, conv_dots64, (const ConvPoints<double>& points))
NDL_DECLARE_KERNEL(void, conv_sums32, (const ConvSums<float>& sums))
NDL_DECLARE_KERNEL(void, conv_sums64, (const ConvSums<double>& sums))
NDL_DECLARE_KERNEL(void, conv_sums_each32, (const ConvSums<float>& sums))
NDL_DECLARE_KERNEL(void, conv_sums_each64, (const ConvSums<double>& sums))

}  // namespace nengo_dl
