// Loops with large products for batches: a few items are run by a team of blocks, which keep all signals of the items
// close by, each block a copy, and share out the products, each block with its part of the weights close by, too.
#pragma once

#include "cuda/dense.h"
#include "cuda/flat.h"
#include "cuda/neurons.h"
#include "cuda/team_loop_lanes.h"

namespace nengo_dl {
namespace cuda {

constexpr int kTeamThreads = 512;             // of a block
constexpr int kMostTeam = 8, kMostItems = 4;  // blocks, items of a team

enum TeamKind : int32_t {
  team_load,
  team_store,
  team_clear,
  team_move,
  team_copy,
  team_lowpass,
  team_neurons,
  team_dense
};
enum TeamWait : int32_t { team_goes_on, team_waits_in_block, team_waits };

// Elements of an operand among the signals of an item: element e lies at first + e * step. No buffer: there are none.
struct Strip {
  int32_t first = 0;
  int16_t step = 0, buffer = -1;
};

// The warps of a block that run an op.
struct TeamShare {
  int16_t first = 0, count = kTeamThreads / 32;
};

template <class T>
struct TeamOp {
  TeamKind kind = team_copy;
  TeamWait wait = team_goes_on;
  TeamShare share;                              // ops that don't wait for each other have warps of their own
  int32_t count = 0;                            // elements of an item
  uint32_t magic = 0;                           // to divide by count: 2^32 / count, rounded up
  bool set = false;                             // y is set, else added to
  bool split = false;                           // the blocks of the team share it out,
  bool own = false;                             // and none needs what the others have made
  bool skipped = false;                         // nobody wants the adjoints
  bool landing = false;                         // what was fetched has to have come before the blocks wait here
  bool adjoint = false;                         // load, store: of adjoints
  bool straight = false;                        // neurons: the surrogate is no bump
  Strip x, y;                                   // on the way back: their adjoints
  Strip bias;                                   // dense, forward
  Strip old[kMaxNeuronStates];                  // states before the step
  int32_t now[kMaxNeuronStates] = {};           // where they begin after it
  int32_t value[kMaxNeuronStates] = {}, J = 0;  // on the way back: where the values of `old` and of J begin
  int32_t type = 0, states = 0;
  T a = 0, b = 0;        // lowpass
  int32_t shift = 0;     // load, store: of the row
  int32_t stage = 0;     // load: where the next step's elements are on their way
  int32_t m = 0, n = 0;  // dense
  int32_t pin = -1;      // dense: where this block's weights lie; -1: they are read where they are
  int32_t wanted = 0;    // adjoints: bit 0: of x, 1: of y, 2 + k: of old[k]
  // dense: weights; load, store: elements of row 0 of the team's first item (null: nowhere), a_i from row to row, a_j
  // from item to item. Found before the first step.
  T* far = nullptr;
  // a_first: the first, of weights, or of a part of a buffer that is loaded.
  int64_t a_first = 0, a_i = 0, a_j = 0;
  int32_t a_buffer = 0;
  const NeuronModel* models = nullptr;
  const device::Surrogate<T>* bumps = nullptr;
  int32_t model = 0;  // number of what a block copies of them
};
template <class T>
struct TeamModel {
  NeuronModel model;
  device::Surrogate<T> bump;
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

// A block of a team. Small and passed by value, so that a GPU has it in registers and knows where its pointers lead.
template <class T>
struct TeamMember {
  T *weights, *signals;
  int32_t rank, size, items, here;  // items: that there is room for; here: that there are
  int32_t stride;
  int64_t first;  // item

  // Its part of so many.
  NDL_HD int32_t begin(bool split, int32_t all) const { return split ? part(all, rank) : 0; }
  NDL_HD int32_t end(bool split, int32_t all) const { return split ? part(all, rank + 1) : all; }
  NDL_HD int32_t part(int32_t all, int32_t r) const {
    const int32_t each = (all + size - 1) / size;
    return r * each < all ? r * each : all;
  }
};

// Elements of all items.
template <class T>
struct TeamView {
  T* at;
  int32_t stride, step;
  NDL_HD TeamView(const TeamMember<T>& me, const Strip& s) : TeamView(me, s, s.first) {}
  NDL_HD TeamView(const TeamMember<T>& me, const Strip& s, int32_t first)
      : at(me.signals + first), stride(me.stride), step(s.step) {}
  NDL_HD T& operator()(int32_t item, int32_t e) const { return at[item * stride + e * step]; }
};

// Read at once.
template <class T>
struct alignas(4 * sizeof(T)) TeamFour {
  T of[4];
};

// From a row of weights close by to the next: odd, so that those of a column lie in different banks of memory.
NDL_HD int32_t team_pitch(int32_t columns) { return columns | 1; }

// What the ops do. `Threads`: each(share, work, f(i)), each_team(share, work, f(i, team)), peer(signals, rank).
template <class T, bool kBack, class Threads>
struct TeamStep {
  const TeamMember<T> me;
  const Threads threads;

  // f(item, e) for all elements; or of the items that are this block's to store.
  template <class F>
  NDL_HD void elements(const TeamOp<T>& op, const F& f) const {
    if (op.split) return part_of_elements(op, f);
    const uint32_t count = static_cast<uint32_t>(op.count), magic = op.magic;
    threads.each(op.share, op.count * me.here, [=](int32_t i) {
      const uint32_t item = magic == 0 ? i : static_cast<uint32_t>(uint64_t{static_cast<uint32_t>(i)} * magic >> 32);
      f(static_cast<int32_t>(item), static_cast<int32_t>(i - item * count));
    });
  }
  template <class F>
  NDL_HD void part_of_elements(const TeamOp<T>& op, const F& f) const {
    const int32_t begin = me.begin(true, op.count), count = me.end(true, op.count) - begin;
    threads.each(op.share, count * me.here, [=](int32_t i) {
      const int32_t item = i / count;
      f(item, begin + i - item * count);
    });
  }
  template <class F>
  NDL_HD void own_elements(const TeamOp<T>& op, const F& f) const {
    for (int32_t item = me.rank; item < me.here; item += me.size)
      threads.each(op.share, op.count, [=](int32_t e) { f(item, e); });
  }

  NDL_HD void start_load(const TeamOp<T>& op, int64_t t) const {
    const T* const from = op.far ? op.far + t * op.a_i : nullptr;
    T* const to = me.signals + op.stage;
    const int64_t stride = me.stride, item_stride = op.a_j;
    elements(op, [=](int32_t item, int32_t e) {
      if (from)
        fetch(to + item * stride + e, from + item * item_stride + e);
      else
        to[item * stride + e] = 0;
    });
  }
  // `next`: the step after this one; none: itself.
  NDL_HD void load(const TeamOp<T>& op, int64_t t, int64_t next) const {
    const T* const from = me.signals + op.stage;
    T* const to = me.signals + op.x.first;
    const int32_t stride = me.stride;
    elements(op, [=](int32_t item, int32_t e) { to[item * stride + e] = from[item * stride + e]; });
    if (next != t) start_load(op, next);
  }
  NDL_HD void store(const TeamOp<T>& op, int64_t t) const {
    T* const to = op.far + t * op.a_i;
    const T* const from = me.signals + op.x.first;
    const int64_t stride = me.stride, item_stride = op.a_j;
    own_elements(op, [=](int32_t item, int32_t e) { to[item * item_stride + e] = from[item * stride + e]; });
  }

  // What a product comes to, of which `sum` is the sum.
  NDL_HD T with_bias(const Strip& bias, int32_t item, int32_t row, T sum) const {
    return bias.buffer < 0 ? sum : sum + TeamView<T>(me, bias)(item, row);
  }
  // Sets an element, for all blocks of the team if it is for them, too.
  NDL_HD void tell(bool all, T* at, T value) const {
    if (!all) {
      *at = value;
      return;
    }
    const auto offset = at - me.signals;
    for (int32_t r = 0; r < me.size; ++r) threads.peer(me.signals, r)[offset] = value;
  }
  // Rows of a product by teams of threads.
  template <int G, bool kNear>
  NDL_HD void dense_rows(const TeamOp<T>& op) const {
    constexpr int R = 4;
    const bool set = op.set, split = op.split, tells = split && !op.own;
    const int32_t n = op.n, begin = me.begin(split, op.m), rows = me.end(split, op.m) - begin;
    const TeamView<T> x(me, op.x), y(me, op.y);
    const Strip bias = op.bias;
    const T* const A = kNear ? me.weights + op.pin : op.far + begin * op.a_i;
    const int64_t a_i = kNear ? team_pitch(n) : op.a_i, a_j = kNear ? 1 : op.a_j;
    threads.each_team(op.share, (rows + R - 1) / R, [=](int32_t group, const auto& team) {
      const int32_t first = group * R, lane = team.lane, size = team.size, full = n / size;
      const int32_t x_step = kNear ? 1 : x.step;
      const T *row[R], *in[G];
      for (int r = 0; r < R; ++r) row[r] = A + (first + r < rows ? first + r : rows - 1) * a_i + lane * a_j;
      for (int g = 0; g < G; ++g) in[g] = x.at + g * x.stride + lane * x_step;
      T sums[R * G] = {};
      const auto take = [&](int32_t j) {
        T value[G], weight[R];
        NDL_UNROLL
        for (int g = 0; g < G; ++g) value[g] = in[g][j * x_step];
        NDL_UNROLL
        for (int r = 0; r < R; ++r) weight[r] = row[r][j * a_j];
        NDL_UNROLL
        for (int k = 0; k < R * G; ++k) sums[k] = device::fma(weight[k / G], value[k % G], sums[k]);
      };
      NDL_UNROLL_TEAM
      for (int32_t k = 0; k < full; ++k) take(k * size);
      if (lane < n - full * size) take(full * size);
      each_sum(team, sums, [&](int k, T sum) {
        const int32_t r = first + k / G;
        if (r >= rows) return;
        T* const to = &y(k % G, begin + r);
        const T value = with_bias(bias, k % G, begin + r, sum);
        tell(tells, to, set ? value : *to + value);
      });
    });
  }
  NDL_HD void dense_short(const TeamOp<T>& op) const {
    const bool set = op.set, split = op.split, tells = split && !op.own;
    const int32_t n = op.n, begin = me.begin(split, op.m), rows = me.end(split, op.m) - begin;
    const TeamView<T> x(me, op.x), y(me, op.y);
    const Strip bias = op.bias;
    const bool near = op.pin >= 0;
    const T* const A = near ? me.weights + op.pin : op.far + begin * op.a_i;
    const int64_t a_i = near ? team_pitch(n) : op.a_i, a_j = near ? 1 : op.a_j;
    for (int32_t item = 0; item < me.here; ++item)
      threads.each(op.share, rows, [=](int32_t r) {
        T sum = 0;
        for (int32_t j = 0; j < n; ++j) sum = device::fma(A[r * a_i + j * a_j], x(item, j), sum);
        T* const to = &y(item, begin + r);
        const T value = with_bias(bias, item, begin + r, sum);
        tell(tells, to, set ? value : *to + value);
      });
  }
  template <int G>
  NDL_HD void dense_of(const TeamOp<T>& op) const {
    op.pin >= 0 && op.x.step == 1 ? dense_rows<G, true>(op) : dense_rows<G, false>(op);
  }
  NDL_HD void dense(const TeamOp<T>& op) const {
    if (op.n < DenseOp<T>::kLong) return dense_short(op);
    if (me.items == 1) return dense_of<1>(op);
    if (me.items == 2) return dense_of<2>(op);
    dense_of<4>(op);
  }

  // x += A^T y, column by column. kFours: four of y at once.
  template <int G, bool kNear, bool kFours>
  NDL_HD void dense_back(const TeamOp<T>& op) const {
    const bool split = op.split, tells = split && !op.own;
    const int32_t m = op.m, begin = me.begin(split, op.n), columns = me.end(split, op.n) - begin;
    const TeamView<T> x(me, op.x), y(me, op.y);
    const T* const A = kNear ? me.weights + op.pin : op.far + begin * op.a_j;
    const int64_t a_i = kNear ? team_pitch(columns) : op.a_i, a_j = kNear ? 1 : op.a_j;
    threads.each(op.share, columns * (me.items / G), [=](int32_t i) {
      const int32_t first = i / columns * G, c = i % columns;
      const T* column = A + c * a_j;
      T sums[G] = {};
      int32_t row = 0;
      if constexpr (kFours) {
        NDL_UNROLL_TEAM
        for (; row + 4 <= m; row += 4) {
          TeamFour<T> in[G];
          T weight[4];
          NDL_UNROLL
          for (int k = 0; k < 4; ++k) weight[k] = *column, column += a_i;
          NDL_UNROLL
          for (int g = 0; g < G; ++g) in[g] = *reinterpret_cast<const TeamFour<T>*>(&y(first + g, row));
          NDL_UNROLL
          for (int k = 0; k < 4 * G; ++k) sums[k % G] = device::fma(weight[k / G], in[k % G].of[k / G], sums[k % G]);
        }
      }
      NDL_UNROLL_TEAM
      for (; row < m; ++row, column += a_i)
        for (int g = 0; g < G; ++g) sums[g] = device::fma(*column, y(first + g, row), sums[g]);
      for (int g = 0; g < G; ++g) {
        T* const to = &x(first + g, begin + c);
        tell(tells, to, *to + (T(0) + sums[g]));
      }
    });
  }
  template <int G>
  NDL_HD void dense_back(const TeamOp<T>& op) const {
    const bool fours = op.y.step == 1 && op.y.first % 4 == 0;
    if (op.pin < 0) return dense_back<G, false, false>(op);
    fours ? dense_back<G, true, true>(op) : dense_back<G, true, false>(op);
  }

  template <class N>
  NDL_HD void neurons(const TeamOp<T>& op) const {
    if constexpr (!N::draws) {
      constexpr int S = device::state_count<N>();
      const N& model = *reinterpret_cast<const N*>(op.models[0].bytes);
      elements(op, [&](int32_t item, int32_t e) {
        T s[S + 1];
        for (int k = 0; k < S; ++k) s[k] = TeamView<T>(me, op.old[k])(item, e);
        device::step_any(model, TeamView<T>(me, op.x)(item, e), TeamView<T>(me, op.y)(item, e), s);
        for (int k = 0; k < S; ++k) TeamView<T>(me, op.old[k], op.now[k])(item, e) = s[k];
      });
    }
  }
  template <class N, bool Straight>
  NDL_HD void neurons_back(const TeamOp<T>& op) const {
    constexpr int S = device::state_count<N>();
    const N& model = *reinterpret_cast<const N*>(op.models[0].bytes);
    const device::Surrogate<T> bump = op.bumps[0];
    const int32_t wanted = op.wanted;
    elements(op, [&](int32_t item, int32_t e) {
      NeuronBack<T> way;
      way.J = {&TeamView<T>(me, op.x, op.J)(item, e), 0};
      way.adds = way.states = true;
      if (wanted & 2) way.out = {&TeamView<T>(me, op.y)(item, e), 0};
      if (wanted & 1) way.by_J = {&TeamView<T>(me, op.x)(item, e), 0};
      for (int k = 0; k < S; ++k) {
        way.old[k] = {&TeamView<T>(me, op.old[k], op.value[k])(item, e), 0};
        if (wanted & 4 << k) way.by_old[k] = {&TeamView<T>(me, op.old[k])(item, e), op.now[k] - op.old[k].first};
      }
      way.template run<N, Straight, 1>(model, bump, 1);
    });
  }
};

}  // namespace cuda
}  // namespace nengo_dl
