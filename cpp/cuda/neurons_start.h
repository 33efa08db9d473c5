// Starts the way back of neurons, with a kernel of their type.
#pragma once

#include "cuda/neurons.h"

namespace nengo_dl {
namespace cuda {

template <class T, class N, bool Straight>
struct BackNeurons {
  NeuronsOp<T> op;
  GradFrame<T> frame;
  int64_t t0, t1;
  Pass pass;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team&) const {
    op.template back_as<N, Straight, 32 / sizeof(T)>(frame, t0, t1, pass, i);
  }
};

void start_back(const NeuronsOp<float>& op, const GradFrame<float>& there, int64_t t0, int64_t t1, Pass pass,
                int64_t work);
void start_back(const NeuronsOp<double>& op, const GradFrame<double>& there, int64_t t0, int64_t t1, Pass pass,
                int64_t work);

// In a source for each T, as nvcc takes its time.
template <class T>
void start_back_of_type(const NeuronsOp<T>& op, const GradFrame<T>& there, int64_t t0, int64_t t1, Pass pass,
                        int64_t work) {
  with_neuron_type<T>(op.type, [&](auto* type) {
    using N = typename device::Bare<decltype(*type)>::type;
    if constexpr (N::spikes)
      if (op.straight) return launch<false>(BackNeurons<T, N, true>{op, there, t0, t1, pass}, work);
    launch<false>(BackNeurons<T, N, false>{op, there, t0, t1, pass}, work);
  });
}

}  // namespace cuda
}  // namespace nengo_dl
