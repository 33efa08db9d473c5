// Every op of the backend, by its kind.
#pragma once

#include "cuda/copy.h"
#include "cuda/dense.h"
#include "cuda/ports.h"

#define NDL_DEVICE_OPS(X)       \
  X(fill, FillOp)               \
  X(copy, CopyOp)               \
  X(elementwise, ElementwiseOp) \
  X(dense, DenseOp)             \
  X(time, TimeOp)               \
  X(input, InputOp)             \
  X(output, OutputOp)
