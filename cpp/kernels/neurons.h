// The face of the neuron kernels: one table per instruction set, in the order of neurons/types.h.
#pragma once

#include <stdint.h>

#include "engine/isa.h"

namespace nengo_dl {

constexpr int kMaxNeuronStates = 4;

// Steps of n neurons. Strides and rows are in elements.
template <class T>
struct NeuronCall {
  long n, steps;
  const T* J;
  T* out;
  T* state[kMaxNeuronStates];  // the new values
  long J_stride, out_stride, state_stride[kMaxNeuronStates];
  long J_row, out_row, state_row[kMaxNeuronStates];  // from step to step
  long old_row[kMaxNeuronStates];                    // the old value is that far before the new one (0: in place)
  int32_t* generator;                                // of types that draw
};

// A type's parameters as its kernel wants them, made by `prepare`.
struct NeuronModel {
  alignas(8) char bytes[128];
};

struct NeuronKernel {
  const char* name;
  const char* const* parameters;  // ended by nullptr
  const char* const* states;
  bool draws;
  void (*prepare32)(NeuronModel* model, const double* parameters, double dt);
  void (*prepare64)(NeuronModel* model, const double* parameters, double dt);
  void (*run32)(const NeuronModel& model, const NeuronCall<float>& call);
  void (*run64)(const NeuronModel& model, const NeuronCall<double>& call);
};

NDL_DECLARE_KERNEL(const NeuronKernel*, neuron_kernels, (int* count))

}  // namespace nengo_dl
