// Every op of the backend, by its kind.
#pragma once

#include "cuda/conv.h"
#include "cuda/copy.h"
#include "cuda/dense.h"
#include "cuda/filters.h"
#include "cuda/learning.h"
#include "cuda/linear_filter.h"
#include "cuda/max_pool.h"
#include "cuda/neurons.h"
#include "cuda/noise.h"
#include "cuda/ports.h"
#include "cuda/sparse.h"
#include "cuda/tables.h"

#define NDL_DEVICE_OPS(X)            \
  X(bcm, BcmOp)                      \
  X(bsr, SparseOp)                   \
  X(conv, ConvOp)                    \
  X(conv_transpose, ConvTransposeOp) \
  X(copy, CopyOp)                    \
  X(dense, DenseOp)                  \
  X(elementwise, ElementwiseOp)      \
  X(fill, FillOp)                    \
  X(filter, FilterOp)                \
  X(input, InputOp)                  \
  X(interpolate, InterpolateOp)      \
  X(lowpass, LowpassOp)              \
  X(max_pool, MaxPoolOp)             \
  X(neurons, NeuronsOp)              \
  X(noise, NoiseOp)                  \
  X(oja, OjaOp)                      \
  X(output, OutputOp)                \
  X(pes, PesOp)                      \
  X(rls, RlsOp)                      \
  X(sparse, SparseOp)                \
  X(table, TableOp)                  \
  X(time, TimeOp)                    \
  X(triangle, TriangleOp)            \
  X(voja, VojaOp)
