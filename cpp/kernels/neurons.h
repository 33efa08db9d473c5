// The face of the neuron kernels: one table per instruction set, with all that belongs to a type in one entry.
#pragma once

#include <stdint.h>

#include "engine/isa.h"

namespace nengo_dl {

constexpr int kMaxNeuronStates = 4;

// Steps of n neurons. Strides and rows are in elements.
template <class T>
struct NeuronCall {
  int64_t n, steps;
  const T* J;
  T* out;
  T* state[kMaxNeuronStates];  // the new values
  int64_t J_stride, out_stride, state_stride[kMaxNeuronStates];
  int64_t J_row, out_row, state_row[kMaxNeuronStates];  // from step to step
  int64_t old_row[kMaxNeuronStates];                    // the old value is that far before the new one (0: in place)
  int32_t* generator;                                   // of types that draw
};

// A type's parameters as its kernel wants them, made by `prepare`.
struct NeuronModel {
  alignas(8) char bytes[128];
};

// The way back through steps of n neurons, from the last to the first. Pointers are those of the first step; what is
// not read, not there or not wanted is null. The values and adjoints of an operand have the same stride.
template <class T>
struct NeuronGradCall {
  int64_t n, steps;
  const T* J;
  const T* old[kMaxNeuronStates];   // the states before the step
  const T* out;                     // adjoint of what the step made
  T* dJ;                            // added to, or set
  const T* next[kMaxNeuronStates];  // adjoints of the states after the step
  T* last[kMaxNeuronStates];        // of those before it: added to, or replaced where it is the same as `next`
  int64_t J_stride, out_stride, state_stride[kMaxNeuronStates];
  int64_t J_row, out_row, dJ_row, old_row[kMaxNeuronStates], state_row[kMaxNeuronStates];  // state_row: next and last
  bool set_dJ;
  int surrogate;  // number in surrogate_names
  double width;
};

template <class T>
struct NeuronFunctions {
  void (*prepare)(NeuronModel* model, const double* parameters, double dt);
  void (*run)(const NeuronModel& model, const NeuronCall<T>& call);
  void (*grad)(const NeuronModel& model, const NeuronGradCall<T>& call);           // by rates, and with a bump
  void (*grad_straight)(const NeuronModel& model, const NeuronGradCall<T>& call);  // with `straight_through`
};

// All of a neuron type; names end with nullptr.
struct NeuronKernel {
  const char* name;
  const char* const* parameters;
  const char* const* flags;
  const char* const* states;
  bool draws, spikes;
  const char* rate_form;
  unsigned reads, straight_reads;  // what of J and the states the way back reads: bit 0 for J, bit i + 1 for state i
  NeuronFunctions<float> of32;
  NeuronFunctions<double> of64;

  template <class T>
  const NeuronFunctions<T>& of() const {
    if constexpr (sizeof(T) == 4)
      return of32;
    else
      return of64;
  }
};

NDL_DECLARE_KERNEL(const NeuronKernel*, neuron_kernels, (int* count))
NDL_DECLARE_KERNEL(const char* const*, surrogate_names, ())  // in their order in neurons/surrogate.h; ends with nullptr

// The way back through steps of type N<T> (kernels/neurons_grad.cpp); `Straight` with the surrogate `straight_through`.
#ifdef NDL_ISA
namespace NDL_ISA {
template <template <class> class N, class T, bool Straight>
void neuron_grad(const NeuronModel& model, const NeuronGradCall<T>& call);
}  // namespace NDL_ISA
#endif

}  // namespace nengo_dl
