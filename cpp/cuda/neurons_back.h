// The way back through the steps of one neuron.
#pragma once

#include "cuda/phase.h"
#include "engine/kernel.h"
#include "kernels/neurons.h"
#include "neurons/types.h"

#ifdef __CUDA_ARCH__  // for the device alone
#define NDL_UNROLL _Pragma("unroll")
#else
#define NDL_UNROLL
#endif

namespace nengo_dl {
namespace cuda {

// Elements at the distance of a row, of which the one at hand is read or written; null: there are none.
template <class T>
struct Walk {
  T* at = nullptr;
  int64_t row = 0;

  NDL_HD T read_back() {  // and goes to the step before
    if (!at) return 0;
    const T value = *at;
    at -= row;
    return value;
  }
  NDL_HD void write_back(T value) {
    *at = value;
    at -= row;
  }
};

// What of the input and the states the way back looks at.
template <class N, bool Straight>
constexpr unsigned kReads = Straight ? device::slope_reads<N>() : N::grad_reads;

template <class T>
struct NeuronBack {
  Walk<const T> J, out, old[kMaxNeuronStates];   // the input; the adjoint of the output; the states before the step
  Walk<const T> by_J, by_old[kMaxNeuronStates];  // adjoints of what is before the step, so far
  Walk<T> to_J, to_old[kMaxNeuronStates];        // where they go
  T* place[kMaxNeuronStates] = {};               // adjoints that lie in place: replaced by those before all steps
  const T* next[kMaxNeuronStates] = {};          // adjoints of the states after the last step

  // Steps t1-1 .. t0. What `Ahead` of them read is fetched at once.
  template <class N, bool Straight, int Ahead>
  NDL_HD void run(const N& type, const device::Surrogate<T>& bump, int64_t steps) {
    constexpr int S = device::state_count<N>();
    T a[S + 1];
    for (int k = 0; k < S; ++k) a[k] = next[k] ? *next[k] : T(0);
    Read<N> coming[Ahead], here[Ahead];
    fetch<N, Straight, Ahead>(coming, steps);
    for (int64_t left = steps; left > 0; left -= Ahead) {
      NDL_UNROLL
      for (int i = 0; i < Ahead; ++i) here[i] = coming[i];
      fetch<N, Straight, Ahead>(coming, left - Ahead);
      NDL_UNROLL
      for (int i = 0; i < Ahead; ++i)
        if (i < left) step<N, Straight>(type, bump, here[i], a);
    }
    for (int k = 0; k < S; ++k)
      if (place[k]) *place[k] = a[k];
  }

 private:
  template <class N>
  struct Read {
    T J, out, by_J, old[device::state_count<N>() + 1], by_old[device::state_count<N>() + 1];
  };

  template <class N, bool Straight, int Ahead>
  NDL_HD void fetch(Read<N> (&r)[Ahead], int64_t left) {
    constexpr unsigned reads = kReads<N, Straight>;
    NDL_UNROLL
    for (int i = 0; i < Ahead; ++i) {
      if (i >= left) return;
      r[i].J = reads & device::kJ ? J.read_back() : T(0);
      r[i].out = out.read_back(), r[i].by_J = by_J.read_back();
      for (int k = 0; k < device::state_count<N>(); ++k) {
        r[i].old[k] = reads & device::state_bit(k) ? old[k].read_back() : T(0);
        r[i].by_old[k] = by_old[k].read_back();
      }
    }
  }

  template <class N, bool Straight>
  NDL_HD void step(const N& type, const device::Surrogate<T>& bump, const Read<N>& r, T* a) {
    const T add = device::step_back<Straight>(type, bump, r.J, r.old, r.out, a);
    if (to_J.at) to_J.write_back(r.by_J + add);
    for (int k = 0; k < device::state_count<N>(); ++k) {
      if (to_old[k].at)
        to_old[k].write_back(a[k] += r.by_old[k]);
      else if (!place[k])
        a[k] = r.by_old[k];
    }
  }
};

}  // namespace cuda
}  // namespace nengo_dl
