// The way back through the steps of one neuron.
#pragma once

#include "cuda/phase.h"
#include "engine/kernel.h"
#include "kernels/neurons.h"
#include "neurons/types.h"

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

  // Goes back through so many steps. What `Ahead` of them read is fetched at once, while those before are computed.
  template <class N, bool Straight, int Ahead>
  NDL_HD void run(const N& type, const device::Surrogate<T>& bump, int64_t steps) {
    constexpr int S = device::state_count<N>();
    T a[S + 1];
    for (int k = 0; k < S; ++k) a[k] = by_old[k].at ? by_old[k].at[by_old[k].row] : T(0);  // after the last step
    for (int k = 0; k < S; ++k) to_old[k] = by_old[k];
    to_J = by_J;
    int64_t left = steps;
    if (left >= Ahead) {
      Read<N> coming[Ahead] = {}, here[Ahead];
      fetch<N, Straight>(coming);
      NDL_NO_UNROLL
      for (; left >= 2 * Ahead; left -= Ahead) {
        NDL_UNROLL
        for (int i = 0; i < Ahead; ++i) here[i] = coming[i];
        fetch<N, Straight>(coming);
        use<N, Straight>(type, bump, here, a);
      }
      use<N, Straight>(type, bump, coming, a);
      left -= Ahead;
    }
    NDL_NO_UNROLL
    for (; left > 0; --left) {
      Read<N> one[1] = {};
      fetch<N, Straight>(one);
      use<N, Straight>(type, bump, one, a);
    }
    for (int k = 0; k < S; ++k)
      if (states && by_old[k].at && by_old[k].row == 0) *by_old[k].at = a[k];
  }

 private:
  Walk<T> to_J, to_old[kMaxNeuronStates];  // where the adjoints of the next step go

  template <class N>
  struct Read {
    T J, out, by_J, old[device::state_count<N>() + 1], by_old[device::state_count<N>() + 1];
  };

  template <class N, bool Straight, int Ahead>
  NDL_HD void fetch(Read<N> (&r)[Ahead]) {
    constexpr unsigned reads = kReads<N, Straight>;
    NDL_UNROLL
    for (int i = 0; i < Ahead; ++i) {
      if (reads & device::kJ) r[i].J = J.read(), J.back();
      r[i].out = out.read(), out.back();
      r[i].by_J = adds ? by_J.read() : T(0), by_J.back();
      for (int k = 0; k < device::state_count<N>(); ++k) {
        if (reads & device::state_bit(k)) r[i].old[k] = old[k].read(), old[k].back();
        r[i].by_old[k] = by_old[k].read(), by_old[k].back();
      }
    }
  }

  template <class N, bool Straight, int Ahead>
  NDL_HD void use(const N& type, const device::Surrogate<T>& bump, const Read<N> (&r)[Ahead], T* a) {
    if constexpr (!Straight && device::pulls<N, T>(0)) {
      typename N::template Pull<T> pull[Ahead];
      NDL_UNROLL
      for (int i = 0; i < Ahead; ++i) pull[i] = type.pull(bump, r[i].J, r[i].old, r[i].out);
      NDL_UNROLL
      for (int i = 0; i < Ahead; ++i) put<N>(r[i], type.follow(pull[i], a), a);
    } else {
      NDL_UNROLL
      for (int i = 0; i < Ahead; ++i)
        put<N>(r[i], device::step_back<Straight>(type, bump, r[i].J, r[i].old, r[i].out, a), a);
    }
  }

  template <class N>
  NDL_HD void put(const Read<N>& r, T add, T* a) {
    if (to_J.at) *to_J.at = r.by_J + add, to_J.back();
    for (int k = 0; k < device::state_count<N>(); ++k) {
      if (states && to_old[k].row != 0)
        *to_old[k].at = a[k] += r.by_old[k], to_old[k].back();
      else if (!states || !to_old[k].at)
        a[k] = r.by_old[k];
    }
  }
};

}  // namespace cuda
}  // namespace nengo_dl
