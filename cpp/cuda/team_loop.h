// Loops with large products for batches: a few items are run by a team of blocks, which keep all signals of the items
// close by, each block a copy, and share out the products, each block with its part of the weights close by, too.
#pragma once

#include "cuda/dense.h"
#include "cuda/flat.h"
#include "cuda/neurons.h"

namespace nengo_dl {
namespace cuda {

#ifdef __CUDA_ARCH__
#define NDL_UNROLL_TEAM _Pragma("unroll 4")
#else
#define NDL_UNROLL_TEAM
#endif

constexpr int kTeamThreads = 512;             // of a block
constexpr int kMostTeam = 8, kMostItems = 4;  // blocks, items of a team

enum TeamKind : int32_t { team_load, team_store, team_clear, team_move, team_copy, team_lowpass, team_neurons, team_dense };
enum TeamWait : int32_t { team_goes_on, team_waits_in_block, team_waits };

// Elements of an operand among the signals of an item: element e lies at first + e * step. No buffer: there are none.
struct Strip {
  int32_t first = 0;
  int16_t step = 0, buffer = -1;
};

template <class T>
struct TeamOp {
  TeamKind kind = team_copy;
  TeamWait wait = team_goes_on;
  int32_t rotate = 0;      // the first thread that takes part, so that ops that don't wait have threads of their own
  int32_t count = 0;       // elements of an item
  bool set = false;        // y is set, else added to
  bool split = false;      // the blocks of the team share it out
  bool skipped = false;    // nobody wants the adjoints
  bool opens = false;      // the first load of a step
  bool adjoint = false;    // load, store: of adjoints
  bool straight = false;   // neurons: the surrogate is no bump
  Strip x, y;              // on the way back: their adjoints
  Strip old[kMaxNeuronStates], now[kMaxNeuronStates], value[kMaxNeuronStates], J;  // neurons; the last two: values
  int32_t type = 0, states = 0;
  T a = 0, b = 0;          // lowpass
  int32_t shift = 0;       // load, store: of the row
  int32_t stage = 0;       // load: where the next step's elements are on their way
  int32_t m = 0, n = 0;    // dense
  int32_t pin = -1;        // dense: where this block's weights lie; -1: they are read where they are
  int64_t a_first = 0, a_i = 0, a_j = 0, a_buffer = 0;
  const NeuronModel* models = nullptr;
  const device::Surrogate<T>* bumps = nullptr;
};

// Ops first .. last - 1 of a call are done before the steps, in each step, after them.
template <class T>
struct TeamCall {
  const TeamOp<T>* ops = nullptr;
  int32_t before = 0, steps = 0, after = 0;  // how many ops of each
  int32_t pinned = 0;                        // elements of weights of a block
  int32_t stride = 0;                        // elements of an item
  int32_t size = 2;                          // blocks of a team
  int32_t items = 1;                         // of a team
  int64_t t0 = 0, t1 = 0;
  NDL_HD int32_t count() const { return before + steps + after; }
};

// A block of a team.
template <class T>
struct TeamMember {
  T* weights;
  T* signals[kMostTeam];  // of all members; its own are signals[rank]
  int32_t rank, size, items, here;  // items: that there is room for; here: that there are
  int32_t stride;
  int64_t first;  // item

  NDL_HD T* mine(int32_t item) const { return signals[rank] + item * stride; }
  NDL_HD T* at(const Strip& s, int32_t item, int32_t e) const { return mine(item) + s.first + e * s.step; }
  NDL_HD void tell(const Strip& s, int32_t item, int32_t e, T value) const {
    const int32_t to = item * stride + s.first + e * s.step;
    for (int32_t r = 0; r < size; ++r) signals[r][to] = value;
  }
  // Its part of so many.
  NDL_HD int32_t begin(const TeamOp<T>& op, int32_t all) const { return op.split ? part(all, rank) : 0; }
  NDL_HD int32_t end(const TeamOp<T>& op, int32_t all) const { return op.split ? part(all, rank + 1) : all; }
  NDL_HD int32_t part(int32_t all, int32_t r) const {
    const int32_t each = (all + size - 1) / size;
    return r * each < all ? r * each : all;
  }
};

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

// A copy that may take until `fetched` is called.
template <class T>
NDL_HD void fetch(T* to, const T* from) {
#ifdef __CUDA_ARCH__
  if constexpr (sizeof(T) == 4 || sizeof(T) == 8) {
    const unsigned there = static_cast<unsigned>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(there), "l"(from), "n"(sizeof(T)) : "memory");
  }
#else
  *to = *from;
#endif
}
NDL_HD void fetched() {
#ifdef __CUDA_ARCH__
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// use(k, sum over the team of values[k]) by one thread for each k; Warp::sum's bits.
template <int N, class T, class F>
NDL_HD void each_sum(const Alone&, T (&values)[N], const F& use) {
  for (int k = 0; k < N; ++k) use(k, values[k]);
}
#ifdef __CUDACC__
// Each lane adds up for half of what is left in each round.
template <int N, class T, class F>
__device__ __forceinline__ void each_sum(const Warp& team, T (&values)[N], const F& use) {
  int distance = 16;
  NDL_UNROLL
  for (int half = N / 2; half > 0; half /= 2, distance /= 2) {
    const bool upper = (team.lane & distance) != 0;
    NDL_UNROLL
    for (int k = 0; k < half; ++k) {
      const T sent = upper ? values[k] : values[k + half], kept = upper ? values[k + half] : values[k];
      values[k] = kept + __shfl_xor_sync(0xffffffffu, sent, distance);
    }
  }
  NDL_UNROLL
  for (int left = 16 / N; left > 0; left /= 2) values[0] += __shfl_xor_sync(0xffffffffu, values[0], left);
  constexpr int kLanes = 32 / N;  // with the same sum
  if (team.lane % kLanes == 0) use(team.lane / kLanes, values[0]);
}
#endif

// What the ops do. `Threads`: each(op, work, f(i)), each_team(op, work, f(i, team)).
template <class T, class AnyFrame, class Threads>
struct TeamStep {
  const TeamMember<T>& me;
  const AnyFrame& frame;
  const Threads& threads;

  template <class F>
  NDL_HD void elements(const TeamOp<T>& op, int32_t count, const F& f) const {
    const uint32_t each = static_cast<uint32_t>(count);
    threads.each(op, count * me.here, [&](int32_t i) {
      const uint32_t item = static_cast<uint32_t>(i) / each;
      f(static_cast<int32_t>(item), static_cast<int32_t>(i - item * each));
    });
  }

  // Where a row's element lies; null: nowhere.
  NDL_HD T* outside(const TeamOp<T>& op, int64_t t, int32_t item, int32_t e) const {
    const Frame<T>& f = op.adjoint ? adjoints_of(frame) : values_of(frame);
    T* const base = f.base[op.x.buffer];
    return base ? base + (t + op.shift) * f.row[op.x.buffer] + (me.first + item) * f.item[op.x.buffer] + e : nullptr;
  }
  NDL_HD void start_load(const TeamOp<T>& op, int64_t t) const {
    elements(op, op.count, [&](int32_t item, int32_t e) {
      T* const to = me.mine(item) + op.stage + e;
      if (const T* const from = outside(op, t, item, e))
        fetch(to, from);
      else
        *to = 0;
    });
  }
  // `next`: the step after this one; none: itself.
  NDL_HD void load(const TeamOp<T>& op, int64_t t, int64_t next) const {
    if (op.opens) fetched();
    elements(op, op.count, [&](int32_t item, int32_t e) {
      me.mine(item)[op.x.first + e] = me.mine(item)[op.stage + e];
    });
    if (next != t) start_load(op, next);
  }
  NDL_HD void store(const TeamOp<T>& op, int64_t t) const {
    elements(op, op.count, [&](int32_t item, int32_t e) {
      if (item % me.size != me.rank) return;
      if (T* const to = outside(op, t, item, e)) *to = me.mine(item)[op.x.first + e];
    });
  }
  NDL_HD bool has_rows(const TeamOp<T>& op) const {
    return (op.adjoint ? adjoints_of(frame) : values_of(frame)).row[op.x.buffer] != 0;
  }

  NDL_HD const T* weights(const TeamOp<T>& op) const { return values_of(frame).base[op.a_buffer] + op.a_first; }

  template <int G>
  NDL_HD void dense_rows(const TeamOp<T>& op) const {
    constexpr int R = 4;
    const int32_t begin = me.begin(op, op.m), rows = me.end(op, op.m) - begin;
    const T* const A = op.pin >= 0 ? me.weights + op.pin : weights(op) + begin * op.a_i;
    const int64_t a_i = op.pin >= 0 ? op.n : op.a_i, a_j = op.pin >= 0 ? 1 : op.a_j;
    threads.each_team(op, (rows + R - 1) / R, [&](int32_t group, const auto& team) {
      const int32_t first = group * R;
      const T* row[R];
      for (int r = 0; r < R; ++r) row[r] = A + (first + r < rows ? first + r : rows - 1) * a_i;
      const T* x[G];
      for (int g = 0; g < G; ++g) x[g] = me.at(op.x, g, 0);
      T sums[R * G] = {};
      NDL_UNROLL_TEAM
      for (int32_t j = team.lane; j < op.n; j += team.size) {
        T in[G], weight[R];
        NDL_UNROLL
        for (int g = 0; g < G; ++g) in[g] = x[g][j * op.x.step];
        NDL_UNROLL
        for (int r = 0; r < R; ++r) weight[r] = row[r][j * a_j];
        NDL_UNROLL
        for (int k = 0; k < R * G; ++k) sums[k] = device::fma(weight[k / G], in[k % G], sums[k]);
      }
      each_sum(team, sums, [&](int k, T sum) {
        const int32_t r = first + k / G;
        if (r < rows) put(op, k % G, begin + r, sum);
      });
    });
  }
  NDL_HD void dense_short(const TeamOp<T>& op) const {
    const int32_t begin = me.begin(op, op.m);
    elements(op, me.end(op, op.m) - begin, [&](int32_t item, int32_t r) {
      const T* const A = op.pin >= 0 ? me.weights + op.pin + r * op.n : weights(op) + (begin + r) * op.a_i;
      const int64_t a_j = op.pin >= 0 ? 1 : op.a_j;
      T sum = 0;
      for (int32_t j = 0; j < op.n; ++j) sum = device::fma(A[j * a_j], *me.at(op.x, item, j), sum);
      put(op, item, begin + r, sum);
    });
  }
  NDL_HD void put(const TeamOp<T>& op, int32_t item, int32_t e, T sum) const {
    T* const to = me.at(op.y, item, e);
    const T value = op.set ? sum : *to + sum;
    if (op.split)
      me.tell(op.y, item, e, value);
    else
      *to = value;
  }
  NDL_HD void dense(const TeamOp<T>& op) const {
    if (op.n < DenseOp<T>::kLong) return dense_short(op);
    if (me.items == 1) return dense_rows<1>(op);
    if (me.items == 2) return dense_rows<2>(op);
    dense_rows<4>(op);
  }

  // x += A^T y, column by column.
  template <int G>
  NDL_HD void dense_back(const TeamOp<T>& op) const {
    const int32_t begin = me.begin(op, op.n), columns = me.end(op, op.n) - begin;
    const T* const A = op.pin >= 0 ? me.weights + op.pin : weights(op) + begin * op.a_j;
    const int64_t a_i = op.pin >= 0 ? columns : op.a_i, a_j = op.pin >= 0 ? 1 : op.a_j;
    threads.each(op, columns * (me.items / G), [&](int32_t i) {
      const int32_t first = i / columns * G, c = i % columns;
      const T* column = A + c * a_j;
      const T* y[G];
      for (int g = 0; g < G; ++g) y[g] = me.at(op.y, first + g, 0);
      T sums[G] = {};
      NDL_UNROLL_SUM
      for (int32_t row = 0; row < op.m; ++row) {
        const T weight = column[row * a_i];
        NDL_UNROLL
        for (int g = 0; g < G; ++g) sums[g] = device::fma(weight, y[g][row * op.y.step], sums[g]);
      }
      for (int g = 0; g < G; ++g) {
        const T value = *me.at(op.x, first + g, begin + c) + (T(0) + sums[g]);
        if (op.split)
          me.tell(op.x, first + g, begin + c, value);
        else
          *me.at(op.x, first + g, begin + c) = value;
      }
    });
  }

  template <class N>
  NDL_HD void neurons(const TeamOp<T>& op) const {
    if constexpr (!N::draws) {
      constexpr int S = device::state_count<N>();
      const N model = *reinterpret_cast<const N*>(op.models[0].bytes);
      elements(op, op.count, [&](int32_t item, int32_t e) {
        T s[S + 1];
        for (int k = 0; k < S; ++k) s[k] = *me.at(op.old[k], item, e);
        device::step_any(model, *me.at(op.x, item, e), *me.at(op.y, item, e), s);
        for (int k = 0; k < S; ++k) *me.at(op.now[k], item, e) = s[k];
      });
    }
  }
  template <class N, bool Straight>
  NDL_HD void neurons_back(const TeamOp<T>& op) const {
    constexpr int S = device::state_count<N>();
    const N model = *reinterpret_cast<const N*>(op.models[0].bytes);
    const device::Surrogate<T> bump = op.bumps[0];
    T* const* const wanted = adjoints_of(frame).base;
    elements(op, op.count, [&](int32_t item, int32_t e) {
      NeuronBack<T> way;
      way.J = {me.at(op.J, item, e), 0};
      way.adds = way.states = true;
      if (wanted[op.y.buffer]) way.out = {me.at(op.y, item, e), 0};
      if (wanted[op.x.buffer]) way.by_J = {me.at(op.x, item, e), 0};
      for (int k = 0; k < S; ++k) {
        way.old[k] = {me.at(op.value[k], item, e), 0};
        if (wanted[op.old[k].buffer])
          way.by_old[k] = {me.at(op.old[k], item, e), op.now[k].first - op.old[k].first};
      }
      way.template run<N, Straight, 1>(model, bump, 1);
    });
  }
};

}  // namespace cuda
}  // namespace nengo_dl
