// The faces of the kernels of max pooling.
#pragma once

#include <stdint.h>

#include "engine/isa.h"
#include "kernels/conv.h"

namespace nengo_dl {

// All channels of one window: out[c] (+)= the largest input[tap, c]. NaN is larger than any number. There is at least
// one tap. Strides are in elements.
template <class T>
struct PoolWindow {
  int rank;  // spatial dimensions
  int64_t taps[kMaxSpatial], input_step[kMaxSpatial];
  const T* input;  // at the first tap
  T* out;
  int64_t channels, input_channel, out_channel;  // how many; distances of theirs
  bool set;
};

// The way back: the adjoint of out[c] is added to that of the input that was largest, of several the first, or in equal
// parts to all of them (`share`).
template <class T>
struct PoolWindowGrad {
  PoolWindow<T> window;  // without `out`
  T* input;              // adjoints, at the first tap
  const T* out;
  bool share;
};

NDL_DECLARE_KERNEL(void, max_pool32, (const PoolWindow<float>& window))
NDL_DECLARE_KERNEL(void, max_pool64, (const PoolWindow<double>& window))
NDL_DECLARE_KERNEL(void, max_pool_grad32, (const PoolWindowGrad<float>& window))
NDL_DECLARE_KERNEL(void, max_pool_grad64, (const PoolWindowGrad<double>& window))

}  // namespace nengo_dl
