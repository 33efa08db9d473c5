// The kernels of cuda/team_loop.h: each way is compiled by a source of its own.
#pragma once

#include "cuda/team_loop_threads.h"

namespace nengo_dl {
namespace cuda {

template <class T>
NDL_HD const Frame<T>& values_of(const Frame<T>& f) {
  return f;
}
template <class T>
NDL_HD const Frame<T>& values_of(const GradFrame<T>& f) {
  return f.value;
}
template <class T>
NDL_HD const Frame<T>& adjoints_of(const Frame<T>& f) {
  return f;
}
template <class T>
NDL_HD const Frame<T>& adjoints_of(const GradFrame<T>& f) {
  return f.adjoint;
}

template <class T, class Threads>
NDL_HD void team_do(const TeamOp<T>& op, const TeamStep<T, false, Threads>& step) {
  const TeamView<T> x(step.me, op.x), y(step.me, op.y), old(step.me, op.old[0]), now(step.me, op.old[0], op.now[0]);
  const bool set = op.set;
  const T a = op.a, b = op.b;
  switch (op.kind) {
    case team_copy:
      return step.elements(op, [=](int32_t item, int32_t e) {
        T& to = y(item, e);
        const T value = x(item, e);
        to = set ? value : to + value;
      });
    case team_lowpass:
      return step.elements(op, [=](int32_t item, int32_t e) { now(item, e) = a * old(item, e) + b * x(item, e); });
    case team_neurons:
      return with_neuron_type<T>(
          op.type, [&](auto* type) { step.template neurons<typename device::Bare<decltype(*type)>::type>(op); });
    case team_dense:
      return step.dense(op);
    default:
      return;
  }
}

template <class T, class Threads>
NDL_HD void team_do(const TeamOp<T>& op, const TeamStep<T, true, Threads>& step) {
  const TeamView<T> x(step.me, op.x), y(step.me, op.y), old(step.me, op.old[0]), now(step.me, op.old[0], op.now[0]);
  const T a = op.a, b = op.b;
  const bool in_place = op.now[0] == op.old[0].first, to_x = op.wanted & 1;
  switch (op.kind) {
    case team_copy:  // x gets dy
      return step.elements(op, [=](int32_t item, int32_t e) { x(item, e) += T(0) + y(item, e); });
    case team_lowpass:
      return step.elements(op, [=](int32_t item, int32_t e) {
        const T value = now(item, e);
        if (to_x) x(item, e) += b * value;
        old(item, e) = in_place ? a * value + T(0) : a * value + old(item, e);
      });
    case team_neurons:
      return with_neuron_type<T>(op.type, [&](auto* type) {
        using N = typename device::Bare<decltype(*type)>::type;
        if constexpr (N::spikes)
          if (op.straight) return step.template neurons_back<N, true>(op);
        step.template neurons_back<N, false>(op);
      });
    case team_dense:
      return step.me.items == 1 ? step.template dense_back<1>(op) : step.template dense_back<2>(op);
    default:
      return;
  }
}

// An op of step t, before which `next` of its loads are on their way.
template <class T, bool kBack, class Threads>
NDL_HD void team_any(const TeamOp<T>& op, const TeamStep<T, kBack, Threads>& step, int64_t t, int64_t next) {
  if (op.skipped) return;
  const TeamView<T> x(step.me, op.x), y(step.me, op.y);
  if (op.kind == team_load)
    step.load(op, t, next);
  else if (op.kind == team_store)
    step.store(op, t);
  else if (op.kind == team_clear)
    step.elements(op, [=](int32_t item, int32_t e) { x(item, e) = 0; });
  else if (op.kind == team_move)
    step.elements(op, [=](int32_t item, int32_t e) { x(item, e) = y(item, e); });
  else
    team_do(op, step);
}

// What the frames say of an op. `rows`: it is of each step.
template <class T>
NDL_HD void team_find_row(TeamOp<T>& op, const Frame<T>& f, bool rows, int64_t first) {
  const int32_t b = op.x.buffer;
  op.a_i = f.row[b], op.a_j = f.item[b];
  op.far = f.base[b] ? f.base[b] + op.a_first + op.shift * op.a_i + first * op.a_j : nullptr;
  if (op.kind == team_store) op.skipped = !op.far || (rows && op.a_i == 0);
}
template <class T>
NDL_HD void team_find(TeamOp<T>& op, const Frame<T>& f, bool rows, int64_t first) {
  if (op.kind == team_load || op.kind == team_store) team_find_row(op, f, rows, first);
  if (op.kind == team_dense) op.far = f.base[op.a_buffer] + op.a_first;
}
template <class T>
NDL_HD void team_find(TeamOp<T>& op, const GradFrame<T>& f, bool rows, int64_t first) {
  if (op.kind == team_load || op.kind == team_store)
    return team_find_row(op, op.adjoint ? f.adjoint : f.value, rows, first);
  if (op.kind == team_dense) op.far = f.value.base[op.a_buffer] + op.a_first;
  const auto wanted = [&](const Strip& s) { return s.buffer >= 0 && f.adjoint.base[s.buffer]; };
  op.wanted = (wanted(op.x) ? 1 : 0) | (wanted(op.y) ? 2 : 0);
  for (int k = 0; k < kMaxNeuronStates; ++k) op.wanted |= wanted(op.old[k]) ? 4 << k : 0;
  if (op.kind == team_copy || op.kind == team_dense) op.skipped = (op.wanted & 3) != 3;
  if (op.kind == team_lowpass) op.skipped = !(op.wanted & 4);
}

// The weights of a block.
template <class T, bool kBack, class Threads>
NDL_HD void team_pin(const TeamOp<T>& op, const TeamStep<T, kBack, Threads>& step) {
  constexpr bool back = kBack;
  if (op.kind != team_dense || op.pin < 0) return;
  const TeamMember<T>& me = step.me;
  const int32_t all = back ? op.n : op.m, begin = me.begin(op.split, all), part = me.end(op.split, all) - begin;
  const int32_t rows = back ? op.m : part, columns = back ? part : op.n, pitch = team_pitch(columns);
  const T* const A = op.far + begin * (back ? op.a_j : op.a_i);
  const bool by_columns = op.a_i == 1;  // the order in which they lie
  const int64_t a_i = op.a_i, a_j = op.a_j;
  T* const to = me.weights + op.pin;
  step.threads.each(TeamShare{}, rows * columns, [=](int32_t i) {
    const int32_t row = by_columns ? i % rows : i / columns, column = by_columns ? i / rows : i % columns;
    fetch(to + row * pitch + column, A + row * a_i + column * a_j);
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

// A block of a team: where its memory is, and what it does, by threads that can wait for each other.
template <class T, class AnyFrame, class Threads>
struct TeamBlock {
  static constexpr bool kBack = IsBack<AnyFrame>::value;
  const TeamCall<T>& call;
  const AnyFrame& frame;
  const Threads threads;
  T *const weights, *const signals;
  TeamOp<T>* const ops;
  TeamModel<T>* const models;

  NDL_IN_TEAM TeamBlock(const TeamCall<T>& call, const AnyFrame& frame, const Threads& threads, unsigned char* memory)
      : call(call),
        frame(frame),
        threads(threads),
        weights(reinterpret_cast<T*>(memory)),
        signals(weights + call.pinned),
        ops(reinterpret_cast<TeamOp<T>*>(signals + call.stride * call.items)),
        models(reinterpret_cast<TeamModel<T>*>(ops + call.count())) {}

  // `team`: which one it is a part of.
  NDL_IN_TEAM void run(int64_t team, int32_t rank) const {
    const int64_t first = team * call.items, left = values_of(frame).batch - first;
    const int32_t here = static_cast<int32_t>(left < call.items ? left : call.items);
    const TeamMember<T> me{weights, signals, rank, call.size, call.items, here, call.stride, first};
    const TeamStep<T, kBack, Threads> step{me, threads};
    begin(first, step);
    team_steps<T, kBack>(call, ops, [step](const TeamOp<T>& op, int64_t t, int64_t next) {
      if (op.landing) step.threads.wait_for_fetched();  // by all warps: each waits for what it has asked for itself
      if (op.wait == team_waits)
        step.threads.wait_for_team();
      else if (op.wait == team_waits_in_block)
        step.threads.wait();
      if (step.threads.takes_part(op.share)) team_any(op, step, t, next);
    });
    threads.wait_for_team();
  }

 private:
  NDL_IN_TEAM void begin(int64_t first, const TeamStep<T, kBack, Threads>& step) const {
    for (int32_t i = threads.thread(); i < call.count(); i += Threads::kCount) {
      TeamOp<T> op = call.ops[i];
      team_find(op, frame, i >= call.before && i < call.before + call.steps, first);
      if (op.kind == team_neurons) {
        models[op.model].model = *op.models, op.models = &models[op.model].model;
        if (op.bumps) models[op.model].bump = *op.bumps, op.bumps = &models[op.model].bump;
      }
      ops[i] = op;
    }
    for (int32_t i = threads.thread(); i < call.stride * call.items; i += Threads::kCount) signals[i] = 0;
    threads.wait();
    for (int32_t i = 0; i < call.count(); ++i) {
      team_pin(ops[i], step);
      if (ops[i].kind == team_load) step.start_load(ops[i], kBack ? call.t1 - 1 : call.t0);
    }
    fetched();
    threads.wait_for_team();
  }
};

#ifdef __CUDACC__

template <class T, class AnyFrame>
__global__ void __launch_bounds__(kTeamThreads) team_loop(const TeamCall<T> call, const AnyFrame f) {
#if NDL_HAS_CLUSTERS
  const auto rank = static_cast<int32_t>(cooperative_groups::this_cluster().block_rank());
#else
  const int32_t rank = 0;
#endif
  NDL_BLOCK_MEMORY(memory);
  TeamBlock<T, AnyFrame, TeamThreads>(call, f, {}, memory).run(blockIdx.x / call.size, rank);
}

template <class T, class AnyFrame>
void start_team(const TeamCall<T>& call, const AnyFrame& frame, int64_t bytes) {
  const int64_t teams = (values_of(frame).batch + call.items - 1) / call.items;
  const dim3 blocks(static_cast<unsigned>(teams * call.size));
  start_kernel(team_loop<T, AnyFrame>, {blocks, kTeamThreads, bytes, call.size}, call, frame);
}

template <class T, class AnyFrame>
int64_t most_teams(int64_t size, int64_t bytes) {
  const std::lock_guard<std::recursive_mutex> hold(launching());
  return clusters_at_a_time(team_loop<T, AnyFrame>, {dim3(static_cast<unsigned>(size)), kTeamThreads, bytes, size});
}

#else

template <class T, class AnyFrame>
int64_t most_teams(int64_t size, int64_t) {
  return processors() / size;
}

// Block after block.
template <class T, class AnyFrame>
void start_team(const TeamCall<T>& call, const AnyFrame& f, int64_t bytes) {
  constexpr bool kBack = IsBack<AnyFrame>::value;
  const Open open;
  std::vector<TeamOp<T>> ops(call.ops, call.ops + call.count());
  for (int64_t first = 0; first < values_of(f).batch; first += call.items) {
    for (int32_t i = 0; i < call.count(); ++i)
      team_find(ops[i] = call.ops[i], f, i >= call.before && i < call.before + call.steps, first);
    std::vector<std::vector<T>> memory(call.size, std::vector<T>(call.pinned + call.stride * call.items));
    std::vector<T*> signals;
    for (std::vector<T>& m : memory) signals.push_back(m.data() + call.pinned);
    const int32_t here = static_cast<int32_t>(std::min<int64_t>(call.items, values_of(f).batch - first));
    const auto each_block = [&](const auto& use) {
      for (int32_t r = call.size - 1; r >= 0; --r) {
        const TeamMember<T> me{memory[r].data(), signals[r], r, call.size, call.items, here, call.stride, first};
        use(TeamStep<T, kBack, TeamThreads<T>>{me, {signals.data()}});
      }
    };
    for (const TeamOp<T>& op : ops)
      each_block([&](const auto& step) {
        team_pin(op, step);
        if (op.kind == team_load) step.start_load(op, kBack ? call.t1 - 1 : call.t0);
      });
    team_steps<T, kBack>(call, ops.data(), [&](const TeamOp<T>& op, int64_t t, int64_t next) {
      each_block([&](const auto& step) { team_any(op, step, t, next); });
    });
  }
}

#endif

}  // namespace cuda
}  // namespace nengo_dl
