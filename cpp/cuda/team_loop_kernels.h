// The kernels of cuda/team_loop.h: each way is compiled by a source of its own.
#pragma once

#include "cuda/team_loop.h"

#ifdef __CUDACC__
#include <cooperative_groups.h>
#endif

namespace nengo_dl {
namespace cuda {

template <class T, class Threads>
NDL_HD void team_do(const TeamOp<T>& op, const TeamMember<T>& me, const Frame<T>& f, const Threads& threads) {
  const TeamStep<T, Frame<T>, Threads> step{me, f, threads};
  switch (op.kind) {
    case team_copy:
      return step.elements(op, op.count, [&](int32_t item, int32_t e) {
        T* const to = me.at(op.y, item, e);
        const T value = *me.at(op.x, item, e);
        *to = op.set ? value : *to + value;
      });
    case team_lowpass:
      return step.elements(op, op.count, [&](int32_t item, int32_t e) {
        *me.at(op.now[0], item, e) = op.a * *me.at(op.old[0], item, e) + op.b * *me.at(op.x, item, e);
      });
    case team_neurons:
      return with_neuron_type<T>(op.type, [&](auto* type) {
        step.template neurons<typename device::Bare<decltype(*type)>::type>(op);
      });
    case team_dense:
      return step.dense(op);
    default:
      return;
  }
}

template <class T, class Threads>
NDL_HD void team_do(const TeamOp<T>& op, const TeamMember<T>& me, const GradFrame<T>& f, const Threads& threads) {
  const TeamStep<T, GradFrame<T>, Threads> step{me, f, threads};
  switch (op.kind) {
    case team_copy:  // x gets dy
      return step.elements(op, op.count, [&](int32_t item, int32_t e) {
        *me.at(op.x, item, e) += T(0) + *me.at(op.y, item, e);
      });
    case team_lowpass:
      return step.elements(op, op.count, [&](int32_t item, int32_t e) {
        const T value = *me.at(op.now[0], item, e);
        if (f.adjoint.base[op.x.buffer]) *me.at(op.x, item, e) += op.b * value;
        T* const old = me.at(op.old[0], item, e);
        *old = op.now[0].first == op.old[0].first ? op.a * value + T(0) : op.a * value + *old;
      });
    case team_neurons:
      return with_neuron_type<T>(op.type, [&](auto* type) {
        using N = typename device::Bare<decltype(*type)>::type;
        if constexpr (N::spikes)
          if (op.straight) return step.template neurons_back<N, true>(op);
        step.template neurons_back<N, false>(op);
      });
    case team_dense:
      return me.items == 1 ? step.template dense_back<1>(op) : step.template dense_back<2>(op);
    default:
      return;
  }
}

// An op of step t, before which `next` of its loads are on their way.
template <class T, class AnyFrame, class Threads>
NDL_HD void team_any(const TeamOp<T>& op, const TeamMember<T>& me, const AnyFrame& f, const Threads& threads, int64_t t,
                     int64_t next) {
  const TeamStep<T, AnyFrame, Threads> step{me, f, threads};
  if (op.skipped) return;
  if (op.kind == team_load)
    step.load(op, t, next);
  else if (op.kind == team_store)
    step.store(op, t);
  else if (op.kind == team_clear)
    step.elements(op, op.count, [&](int32_t item, int32_t e) { *me.at(op.x, item, e) = 0; });
  else if (op.kind == team_move)
    step.elements(op, op.count, [&](int32_t item, int32_t e) { *me.at(op.x, item, e) = *me.at(op.y, item, e); });
  else
    team_do(op, me, f, threads);
}

// Whether this run has nothing to do for an op.
template <class T>
NDL_HD bool team_skips(const TeamOp<T>& op, const Frame<T>& f, bool each_step) {
  return op.kind == team_store && each_step && (!f.base[op.x.buffer] || f.row[op.x.buffer] == 0);
}
template <class T>
NDL_HD bool team_skips(const TeamOp<T>& op, const GradFrame<T>& f, bool each_step) {
  const auto wanted = [&](const Strip& s) { return f.adjoint.base[s.buffer] != nullptr; };
  if (op.kind == team_store)
    return !wanted(op.x) || (each_step && f.adjoint.row[op.x.buffer] == 0);
  if (op.kind == team_copy || op.kind == team_dense) return !wanted(op.x) || !wanted(op.y);
  return op.kind == team_lowpass && !wanted(op.now[0]);
}

// The weights of a block.
template <class T, class AnyFrame, class Threads>
NDL_HD void team_pin(const TeamOp<T>& op, const TeamMember<T>& me, const AnyFrame& f, bool back,
                     const Threads& threads) {
  if (op.kind != team_dense || op.pin < 0) return;
  const T* const A = values_of(f).base[op.a_buffer] + op.a_first;
  const int32_t all = back ? op.n : op.m, begin = me.begin(op, all), part = me.end(op, all) - begin;
  const int32_t rows = back ? op.m : part, columns = back ? part : op.n;
  const bool by_rows = op.a_i == 1;  // the order in which they lie
  threads.each(op, rows * columns, [&](int32_t i) {
    const int32_t row = by_rows ? i % rows : i / columns, column = by_rows ? i / rows : i % columns;
    const int64_t from = (row + (back ? 0 : begin)) * op.a_i + (column + (back ? begin : 0)) * op.a_j;
    me.weights[op.pin + row * columns + column] = A[from];
  });
}

template <class AnyFrame>
struct IsBack {
  static constexpr bool value = false;
};
template <class T>
struct IsBack<GradFrame<T>> {
  static constexpr bool value = true;
};

// Goes through the ops of all steps: `each(op, f)` does f(op) for an op, after waiting as it says.
template <class T, bool Back, class Each>
NDL_HD void team_steps(const TeamCall<T>& call, const TeamOp<T>* ops, const Each& each) {
  const int64_t first = Back ? call.t1 - 1 : call.t0, last = Back ? call.t0 : call.t1 - 1;
  const auto all = [&](int32_t begin, int32_t count, int64_t t, int64_t next) {
    for (int32_t i = begin; i < begin + count; ++i) each(ops[i], t, next);
  };
  all(0, call.before, first, first);
  for (int64_t t = first;; t += Back ? -1 : 1) {
    all(call.before, call.steps, t, t == last ? t : t + (Back ? -1 : 1));
    if (t == last) break;
  }
  all(call.before + call.steps, call.after, last, last);
}

#ifdef __CUDACC__

struct TeamThreads {
  template <class T, class F>
  __device__ __forceinline__ void each(const TeamOp<T>& op, int32_t work, const F& f) const {
    for (int32_t i = (threadIdx.x + kTeamThreads - op.rotate) % kTeamThreads; i < work; i += kTeamThreads) f(i);
  }
  template <class T, class F>
  __device__ __forceinline__ void each_team(const TeamOp<T>& op, int32_t work, const F& f) const {
    const Warp team{static_cast<int>(threadIdx.x % 32)};
    constexpr int32_t kWarps = kTeamThreads / 32;
    for (int32_t i = (threadIdx.x / 32 + kWarps - op.rotate / 32) % kWarps; i < work; i += kWarps) f(i, team);
  }
};

extern __shared__ __align__(16) unsigned char team_memory[];

template <class T, class AnyFrame>
__global__ void __launch_bounds__(kTeamThreads) team_loop(const TeamCall<T> call, const AnyFrame f) {
  constexpr bool kBack = IsBack<AnyFrame>::value;
  namespace cg = cooperative_groups;
  const cg::cluster_group cluster = cg::this_cluster();
  __shared__ TeamMember<T> me;
  T* const weights = reinterpret_cast<T*>(team_memory);
  T* const signals = weights + call.pinned;
  TeamOp<T>* const ops = reinterpret_cast<TeamOp<T>*>(signals + (call.stride * call.items + 3) / 4 * 4);
  if (threadIdx.x == 0) {
    me.weights = weights, me.rank = static_cast<int32_t>(cluster.block_rank()), me.size = call.size;
    for (int32_t r = 0; r < call.size; ++r) me.signals[r] = cluster.map_shared_rank(signals, r);
    me.signals[me.rank] = signals;
    me.items = call.items, me.stride = call.stride;
    me.first = int64_t{blockIdx.x / call.size} * call.items;
    const int64_t left = values_of(f).batch - me.first;
    me.here = static_cast<int32_t>(left < call.items ? left : call.items);
  }
  for (int32_t i = threadIdx.x; i < call.count(); i += kTeamThreads) {
    ops[i] = call.ops[i];
    ops[i].skipped = team_skips(ops[i], f, i >= call.before && i < call.before + call.steps);
  }
  for (int32_t i = threadIdx.x; i < call.stride * call.items; i += kTeamThreads) signals[i] = 0;
  __syncthreads();
  const TeamThreads threads;
  for (int32_t i = 0; i < call.count(); ++i) {
    team_pin(ops[i], me, f, kBack, threads);
    if (ops[i].kind == team_load)
      TeamStep<T, AnyFrame, TeamThreads>{me, f, threads}.start_load(ops[i], kBack ? call.t1 - 1 : call.t0);
  }
  cluster.sync();
  team_steps<T, kBack>(call, ops, [&](const TeamOp<T>& op, int64_t t, int64_t next) {
    if (op.wait == team_waits)
      cluster.sync();
    else if (op.wait == team_waits_in_block)
      __syncthreads();
    team_any(op, me, f, threads, t, next);
  });
  cluster.sync();
}

template <class T, class AnyFrame>
void start_team(const TeamCall<T>& call, const AnyFrame& frame, int64_t bytes) {
  const auto kernel = team_loop<T, AnyFrame>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        "a loop's weights and signals don't fit into a block's memory");
  const int64_t teams = (values_of(frame).batch + call.items - 1) / call.items;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(teams * call.size)), config.blockDim = dim3(kTeamThreads);
  config.dynamicSmemBytes = static_cast<size_t>(bytes), config.stream = stream();
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = static_cast<unsigned>(call.size);
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  config.attrs = &cluster, config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, kernel, call, frame), "teams of blocks can't be started");
}

#else

// Backwards, every other one first.
struct TeamThreads {
  template <class T, class F>
  void each(const TeamOp<T>&, int32_t work, const F& f) const {
    for (int32_t i = work - 1; i >= 0; i -= 2) f(i);
    for (int32_t i = work - 2; i >= 0; i -= 2) f(i);
  }
  template <class T, class F>
  void each_team(const TeamOp<T>& op, int32_t work, const F& f) const {
    each(op, work, [&](int32_t i) { f(i, Alone{}); });
  }
};

template <class T, class AnyFrame>
void start_team(const TeamCall<T>& call, const AnyFrame& f, int64_t) {
  constexpr bool kBack = IsBack<AnyFrame>::value;
  const Open open;
  const TeamThreads threads;
  std::vector<TeamOp<T>> ops(call.ops, call.ops + call.count());
  for (int32_t i = 0; i < call.count(); ++i)
    ops[i].skipped = team_skips(ops[i], f, i >= call.before && i < call.before + call.steps);
  for (int64_t first = 0; first < values_of(f).batch; first += call.items) {
    std::vector<std::vector<T>> memory(call.size, std::vector<T>(call.pinned + call.stride * call.items));
    std::vector<TeamMember<T>> members(call.size);
    for (int32_t r = 0; r < call.size; ++r) {
      const int64_t here = std::min<int64_t>(call.items, values_of(f).batch - first);
      TeamMember<T>& me = members[r];
      me = {memory[r].data(), {}, r, call.size, call.items, static_cast<int32_t>(here), call.stride, first};
      for (int32_t k = 0; k < call.size; ++k) me.signals[k] = memory[k].data() + call.pinned;
      for (const TeamOp<T>& op : ops) {
        team_pin(op, me, f, kBack, threads);
        if (op.kind == team_load)
          TeamStep<T, AnyFrame, TeamThreads>{me, f, threads}.start_load(op, kBack ? call.t1 - 1 : call.t0);
      }
    }
    team_steps<T, kBack>(call, ops.data(), [&](const TeamOp<T>& op, int64_t t, int64_t next) {
      for (int32_t r = call.size - 1; r >= 0; --r) team_any(op, members[r], f, threads, t, next);
    });
  }
}

#endif

}  // namespace cuda
}  // namespace nengo_dl
