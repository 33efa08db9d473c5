// The face of the kernels that change parameters in training.
#pragma once

#include <stdint.h>

#include "engine/isa.h"

namespace nengo_dl {

// A step of Adam (Kingma and Ba, 2015): first and second moment of the gradient, and what they change.
template <class T>
struct AdamStep {
  T alpha;  // learning rate, corrected for moments that begin at zero
  T first_rate, second_rate, epsilon;
};

// Element by element, in the very operations that Keras does one after the other, none fused with another.
NDL_DECLARE_KERNEL(void, adam32, (const AdamStep<float>& step, const float* g, float* m, float* v, float* x, int64_t n))
NDL_DECLARE_KERNEL(void, adam64,
                   (const AdamStep<double>& step, const double* g, double* m, double* v, double* x, int64_t n))

}  // namespace nengo_dl
