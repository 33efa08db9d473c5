// The face of the fused kernel of ensembles: what they are driven by, a step of their neurons, what is decoded.
#pragma once

#include "kernels/dense_kernels.h"
#include "kernels/neurons.h"

namespace nengo_dl {

// One product that reads the output of the neurons.
template <class T>
struct Decode {
  DenseArgs<T> product;     // its x is left out; y of the first row
  DenseFunction<T> kernel;  // the plain one for these sizes and strides
  bool by_columns;          // it is dense_cols without bias that sets y, and no weight is infinite or NaN
  const int64_t* begin;     // its blocks begin[b] .. begin[b+1]-1 read ensemble b
  bool each;                // one block reads each ensemble
};

// Rows (steps or items) of `blocks` ensembles of n neurons, all of one model. Results have the bits that the plain
// kernels give: dense, neurons, dense.
template <class T>
struct EnsembleCall {
  int64_t blocks, n, rows;
  bool in_turn;              // rows are steps: each begins where the one before has ended
  DenseArgs<T> encode;       // its y is left out
  DenseFunction<T> encoder;  // the plain kernel
  // the new values of block k of row r begin at state[s] + state_at[s][k] + r * state_row[s], side by side
  T* state[kMaxNeuronStates];
  const int64_t* state_at[kMaxNeuronStates];
  int64_t state_row[kMaxNeuronStates], old_row[kMaxNeuronStates];  // old_row: as in NeuronCall
  const Decode<T>* decodes;
  int64_t decode_count;  // 1 .. kMaxDecodes
};

constexpr int64_t kMaxEnsemble = 2048;  // neurons of an ensemble
constexpr int64_t kMaxDecodes = 8;

struct EnsembleKernel {
  const char* neurons;  // the type
  void (*run32)(const NeuronModel& model, const EnsembleCall<float>& call);
  void (*run64)(const NeuronModel& model, const EnsembleCall<double>& call);
};

NDL_DECLARE_KERNEL(const EnsembleKernel*, ensemble_kernels, (int* count))

}  // namespace nengo_dl
