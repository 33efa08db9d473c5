#include "kernels/updates.h"

#include <math.h>

namespace nengo_dl {
namespace NDL_ISA {
namespace {

inline float root(float x) { return sqrtf(x); }
inline double root(double x) { return sqrt(x); }

template <class T>
void adam(const AdamStep<T>& step, const T* __restrict g, T* __restrict m, T* __restrict v, T* __restrict x,
          int64_t n) {
  const T alpha = step.alpha, first = step.first_rate, second = step.second_rate, epsilon = step.epsilon;
  for (int64_t i = 0; i < n; i++) {
    const T mean = m[i] + (g[i] - m[i]) * first, square = v[i] + (g[i] * g[i] - v[i]) * second;
    m[i] = mean, v[i] = square;
    x[i] -= mean * alpha / (root(square) + epsilon);
  }
}

}  // namespace

void adam32(const AdamStep<float>& step, const float* g, float* m, float* v, float* x, int64_t n) {
  adam(step, g, m, v, x, n);
}
void adam64(const AdamStep<double>& step, const double* g, double* m, double* v, double* x, int64_t n) {
  adam(step, g, m, v, x, n);
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
