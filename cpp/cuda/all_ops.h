// Every op of the backend, by its kind.
#pragma once

#include "cuda/copy.h"
#include "cuda/dense.h"
#include "cuda/neurons.h"
#include "cuda/noise.h"
#include "cuda/ports.h"

#define NDL_DEVICE_OPS(X)       \
  X(fill, FillOp)               \
  X(copy, CopyOp)               \
  X(elementwise, ElementwiseOp) \
  X(neurons, NeuronsOp)         \
  X(noise, NoiseOp)             \
  X(dense, DenseOp)             \
  X(time, TimeOp)               \
  X(input, InputOp)             \
  X(output, OutputOp)
