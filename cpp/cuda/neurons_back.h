// The way back through the steps of one neuron.
#pragma once

#include "cuda/phase.h"
#include "engine/kernel.h"
#include "kernels/neurons.h"
#include "neurons/types.h"

#ifdef __CUDA_ARCH__  // for the device alone
#define NDL_UNROLL _Pragma("unroll")
#define NDL_NO_UNROLL _Pragma("unroll 1")
#else
#define NDL_UNROLL
#define NDL_NO_UNROLL
#endif

namespace nengo_dl {
namespace cuda {

// Elements at the distance of a row; null: there are none, and the row is 0.
template <class T>
struct Walk {
  T* at = nullptr;
  int64_t row = 0;

  NDL_HD T read() const { return at ? *at : T(0); }
  NDL_HD void back() { at -= row; }
};

// What of the input and the states the way back looks at.
template <class N, bool Straight>
constexpr unsigned kReads = Straight ? device::slope_reads<N>() : N::grad_reads;

// All begin at the last step.
template <class T>
struct NeuronBack {
  Walk<const T> J, out, old[kMaxNeuronStates];  // the input; the adjoint of the output; the states before the step
  Walk<T> by_J, by_old[kMaxNeuronStates];       // adjoints of the input and of the states before the step
  bool adds;                                    // to by_J; else it is set
  bool states;  // by_old is added to, or replaced where it lies in place; else only read

  // Goes back through so many steps. What `Ahead` of them read is fetched at once.
  template <class N, bool Straight, int Ahead>
  NDL_HD void run(const N& type, const device::Surrogate<T>& bump, int64_t steps) {
    constexpr int S = device::state_count<N>();
    T a[S + 1];
    for (int k = 0; k < S; ++k) a[k] = by_old[k].at ? by_old[k].at[by_old[k].row] : T(0);  // after the last step
    Read<N> coming[Ahead] = {}, here[Ahead];
    fetch<N, Straight, Ahead>(coming, steps);
    NDL_NO_UNROLL
    for (int64_t left = steps; left > 0; left -= Ahead) {
      NDL_UNROLL
      for (int i = 0; i < Ahead; ++i) here[i] = coming[i];
      fetch<N, Straight, Ahead>(coming, left - Ahead);
      NDL_UNROLL
      for (int i = 0; i < Ahead; ++i)
        if (i < left) step<N, Straight>(type, bump, here[i], a, 2 * Ahead - i);
    }
    for (int k = 0; k < S; ++k)
      if (states && by_old[k].at && by_old[k].row == 0) *by_old[k].at = a[k];
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
      if (i < left) {
        if (reads & device::kJ) r[i].J = J.read();
        r[i].out = out.read(), r[i].by_J = adds ? by_J.read() : T(0);
        for (int k = 0; k < device::state_count<N>(); ++k) {
          if (reads & device::state_bit(k)) r[i].old[k] = old[k].read();
          r[i].by_old[k] = by_old[k].read();
        }
      }
      J.back(), out.back(), by_J.back();
      for (int k = 0; k < device::state_count<N>(); ++k) old[k].back(), by_old[k].back();
    }
  }

  // `ahead`: by how many steps what is fetched is ahead of this one.
  template <class N, bool Straight>
  NDL_HD void step(const N& type, const device::Surrogate<T>& bump, const Read<N>& r, T* a, int ahead) {
    const T add = device::step_back<Straight>(type, bump, r.J, r.old, r.out, a);
    if (by_J.at) by_J.at[ahead * by_J.row] = r.by_J + add;
    for (int k = 0; k < device::state_count<N>(); ++k) {
      if (states && by_old[k].row != 0)
        by_old[k].at[ahead * by_old[k].row] = a[k] += r.by_old[k];
      else if (!states || !by_old[k].at)
        a[k] = r.by_old[k];
    }
  }
};

}  // namespace cuda
}  // namespace nengo_dl
