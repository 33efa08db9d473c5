// Every neuron type, forward and back, for a GPU: compiled by tests/engine/test_device_sources.py, which asks for no
// warning either. One thread per neuron, one step.
#define NDL_ISA device
#include "neurons/types.h"

namespace nengo_dl {
namespace NDL_ISA {

// Stands for the random numbers of a backend.
struct Numbers {
  uint64_t state;

  NDL_HD double sample() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return double(state >> 11) * 0x1p-53;
  }
  NDL_HD double poisson(double mean) { return floor(mean + sample()); }
};

template <class N, class T>
__global__ void step(const N model, const T* J, T* out, T* states, Numbers numbers, int n) {
  constexpr int S = state_count<N>();
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  T s[S + 1];
  for (int k = 0; k < S; k++) s[k] = states[k * n + i];
  if constexpr (N::draws)
    out[i] = model.step(J[i], numbers);
  else
    step_any(model, J[i], out[i], s);
  for (int k = 0; k < S; k++) states[k * n + i] = s[k];
}

template <bool Straight, class N, class T>
__global__ void grad(const N model, const Surrogate<T> h, const T* J, const T* states, const T* by_out, T* by_J,
                     T* by_state, int n) {
  constexpr int S = state_count<N>();
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  T s[S + 1], a[S + 1];
  for (int k = 0; k < S; k++) s[k] = states[k * n + i], a[k] = by_state[k * n + i];
  by_J[i] += step_back < Straight && N::spikes > (model, h, J[i], s, by_out[i], a);
  for (int k = 0; k < S; k++) by_state[k * n + i] = a[k];
}

// Names the kernels of a type, so that they are compiled.
template <template <class> class N>
struct Kernels {
  void (*step32)(N<float>, const float*, float*, float*, Numbers, int) = step<N<float>, float>;
  void (*step64)(N<double>, const double*, double*, double*, Numbers, int) = step<N<double>, double>;
  decltype(&grad<false, N<float>, float>) grad32[2] = {grad<false, N<float>, float>, grad<true, N<float>, float>};
  decltype(&grad<false, N<double>, double>) grad64[2] = {grad<false, N<double>, double>, grad<true, N<double>, double>};
};
#define NDL_KERNELS(Type) Kernels<Type> kernels_of_##Type;
NDL_NEURON_TYPES(NDL_KERNELS)

}  // namespace NDL_ISA
}  // namespace nengo_dl
