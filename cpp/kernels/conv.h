// The face of the convolution kernel: all output channels of one group at one output position.
#pragma once

#include "engine/isa.h"

namespace nengo_dl {

constexpr int kMaxSpatial = 8;

// out[o] (+)= sum over taps and input channels c of weight[tap, c, o] input[tap, c]. Strides are in elements.
template <class T>
struct ConvPoint {
  int rank;  // spatial dimensions
  long taps[kMaxSpatial], weight_step[kMaxSpatial], input_step[kMaxSpatial];
  const T *weight, *input;  // at the first tap
  T* out;
  long in_channels, out_channels;                // of the group
  long weight_channel, input_channel, out_step;  // distances: of input channels in weights and input; of outputs
  bool set;
};

NDL_DECLARE_KERNEL(void, conv_point32, (const ConvPoint<float>& point))
NDL_DECLARE_KERNEL(void, conv_point64, (const ConvPoint<double>& point))

}  // namespace nengo_dl
