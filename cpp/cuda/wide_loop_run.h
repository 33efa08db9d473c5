// What a block of a wide loop does, for one precision: each is compiled by a source of its own, since it holds all
// neuron types. A block is started, then asked to go on; it goes on until a word that it waits for is not there. On the
// GPU it waits for it.
#pragma once

#include "cuda/wide_loop_talk.h"
#include "cuda/wide_loop_threads.h"

namespace nengo_dl {
namespace cuda {

template <class T, class Threads>
struct WideRun {
  using Value = T;
  using Sharing = Threads;
  const WideCall<T>& call;
  const WideBlock& block;
  const Threads threads;
  const int32_t number, items;
  const int64_t first;  // item
  const WideOp<T>* ops = nullptr;
  const WideExchange* exchanges = nullptr;
  T *fixed = nullptr, *near = nullptr;
  int32_t *codes = nullptr, *integers = nullptr;
  bool finite = true;  // all weights of products of bits

  NDL_IN_BLOCK WideRun(const WideCall<T>& call, int32_t number, const Threads& threads, char* memory)
      : call(call),
        block(call.blocks[number % call.count]),
        threads(threads),
        number(number),
        items(items_of(call, number / call.count)),
        first(first_of(call, number / call.count)) {
    const auto take = [&](int64_t bytes) {
      char* const at = memory;
      memory += (bytes + 15) / 16 * 16;
      return at;
    };
    auto* const mine = reinterpret_cast<WideOp<T>*>(take(block.ops.count * int64_t{sizeof(WideOp<T>)}));
    ops = mine;
    auto* const known = reinterpret_cast<WideExchange*>(take(block.exchanges.count * int64_t{sizeof(WideExchange)}));
    exchanges = known;
    fixed = reinterpret_cast<T*>(take((block.fixed + int64_t{items} * block.item) * int64_t{sizeof(T)}));
    near = fixed + block.fixed;
    codes = reinterpret_cast<int32_t*>(take((block.integers.count + int64_t{items} * block.item_integers) * 4));
    integers = codes + block.integers.count;
    threads.aside(block.ops.count * static_cast<int32_t>(sizeof(WideOp<T>) / 4), [&](int32_t i) {
      reinterpret_cast<int32_t*>(mine)[i] = reinterpret_cast<const int32_t*>(call.ops + block.ops.first)[i];
    });
    threads.aside(block.exchanges.count, [&](int32_t i) { known[i] = call.exchanges[block.exchanges.first + i]; });
    threads.aside(block.integers.count, [&](int32_t i) { codes[i] = call.integers[block.integers.first + i]; });
    load();
  }

  // Of a team; none: it has nothing to do.
  static NDL_IN_BLOCK int64_t first_of(const WideCall<T>& call, int64_t team) { return call.first + team * call.items; }
  static NDL_IN_BLOCK int32_t items_of(const WideCall<T>& call, int64_t team) {
    const int64_t left = call.last - first_of(call, team);
    return static_cast<int32_t>(left < 0 ? 0 : left < call.items ? left : call.items);
  }

  NDL_IN_BLOCK void load() {
    const Frame<T>& f = call.frame;
    for (int32_t i = 0; i < block.loads.count; ++i) {
      const WideLoad& l = call.loads[block.loads.first + i];
      threads.each(items, l.count,
                   [&](int32_t b, int32_t e) { cell(l.near, call.t0, b, e) = *l.from.at(f, call.t0, first + b, e); });
    }
    bool all = true;
    for (int32_t i = 0; i < block.weights.count; ++i) {
      const WideWeights& w = call.weights[block.weights.first + i];
      threads.aside(w.rows * w.width, [&](int32_t k) {
        const int32_t column = k / w.rows, row = k - column * w.rows;
        const T value = column < w.n ? w.row.at(f, 0, 0, row)[column * w.column_step] : T(0);
        all = all && value - value == T(0);
        fixed[w.at + row * w.width + column] = value;
      });
    }
    threads.aside(block.entries.count, [&](int32_t i) {
      const WideEntry& e = call.entries[block.entries.first + i];
      fixed[e.at] = f.base[e.buffer][e.from];
    });
    finite = !threads.any(!all);
    fetch(call.t0, true);
  }

  // All steps. On the GPU; elsewhere blocks that don't wait are to be run in turn.
  NDL_IN_BLOCK void all() {
    for (int64_t t = call.t0; t < call.t1; ++t) {
      begin(t);
      for (int32_t i = 0; i < block.ops.count; ++i) run(ops[i], t);
    }
    store();
  }
  // State goes back to where it lies between windows.
  NDL_IN_BLOCK void store() {
    threads.barrier();
    for (int32_t i = 0; i < block.loads.count; ++i) {
      const WideLoad& l = call.loads[block.loads.first + i];
      if (!l.back) continue;
      threads.each(items, l.count, [&](int32_t b, int32_t e) {
        *l.from.at(call.frame, call.t0, first + b, e) = cell(l.near, call.t0, b, e);
      });
    }
  }

  NDL_IN_BLOCK T& cell(const Near& n, int64_t t, int32_t b, int32_t e) const {
    return near[n.row(t) + b * block.item + e * n.step];
  }

  // What step t reads of what other regions have made. Once is enough where there are no rows.
  NDL_IN_BLOCK void fetch(int64_t t, bool all) const {
    const Frame<T>& f = call.frame;
    for (int32_t i = 0; i < block.fetches.count; ++i) {
      const WideFetch& from = call.fetches[block.fetches.first + i];
      const bool rows = f.row[from.from.buffer] != 0;
      if (!rows && !all) continue;
      for (int32_t b = 0; b < items; ++b)
        threads.aside(from.count, [&](int32_t e) {
          T* const to = near + from.at + b * block.item + e;
          const T* const there = from.from.at(f, t, first + b, e);
          threads.fetch(to + ((t & 1) ? from.count : 0), there);
          if (!rows) threads.fetch(to + ((t & 1) ? 0 : from.count), there);
        });
    }
  }

  NDL_IN_BLOCK void begin(int64_t t) const {
    threads.fetched();
    threads.barrier();
    if (t + 1 < call.t1) fetch(t + 1, false);
  }

  NDL_IN_BLOCK void put(const WideOp<T>& op, int32_t s, int64_t t, int32_t b, int32_t e, T value) const {
    cell(op.near[s], t, b, e) = value;
    const Far& kept = op.kept[s];
    if (kept.buffer >= 0 && call.frame.row[kept.buffer] != 0) *kept.at(call.frame, t, first + b, e) = value;
  }
  NDL_IN_BLOCK void set(const WideOp<T>& op, int64_t t, int32_t b, int32_t e, T value) const {
    put(op, 0, t, b, e, op.set ? value : cell(op.near[kWideOld], t, b, e) + value);
  }

  // False: what it waits for is not there yet.
  NDL_IN_BLOCK bool run(const WideOp<T>& op, int64_t t) const {
    if (op.waits) threads.barrier();
    switch (op.kind) {
      case Wide::copy:
        threads.each(items, op.count, [&](int32_t b, int32_t e) { set(op, t, b, e, cell(op.near[kWideIn], t, b, e)); });
        break;
      case Wide::elementwise:
        threads.each(items, op.count, [&](int32_t b, int32_t e) {
          set(op, t, b, e, cell(op.near[kWideIn], t, b, e) * cell(op.near[kWideIn + 1], t, b, e));
        });
        break;
      case Wide::lowpass:
        threads.each(items, op.count, [&](int32_t b, int32_t e) {
          put(op, 0, t, b, e, op.a * cell(op.near[kWideOld], t, b, e) + op.b * cell(op.near[kWideIn], t, b, e));
        });
        break;
      case Wide::outer:
        threads.each(items, op.count, [&](int32_t b, int32_t e) {
          put(op, 0, t, b, e, op.a * cell(op.near[kWideIn], t, b, e) * cell(op.near[kWideIn + 1], t, b, e));
        });
        break;
      case Wide::neurons:
        with_neuron_type<T>(op.type, [&](auto* type) { neurons<typename device::Bare<decltype(*type)>::type>(op, t); });
        break;
      case Wide::output:
        output(op, t);
        break;
      case Wide::dense:
      case Wide::sparse:
        product(op, t);
        break;
      case Wide::send:
        WideTalk<WideRun>{*this}.send(op, t);
        break;
      case Wide::receive:
        return WideTalk<WideRun>{*this}.receive(op, t);
    }
    return true;
  }

  // Of an output of which one row is kept, that of the call's last step: later calls overwrite it.
  NDL_IN_BLOCK void output(const WideOp<T>& op, int64_t t) const {
    const Frame<T>& f = call.frame;
    const int64_t rows = f.output_steps[op.exchange], row = rows == 1 ? 0 : f.offset + t;
    if (rows == 1 && t + 1 != call.t1) return;
    threads.each(items, op.count, [&](int32_t b, int32_t e) {
      f.outputs[op.exchange][((first + b) * rows + row) * op.n + op.place + e * op.place_step] =
          cell(op.near[kWideIn], t, b, e);
    });
  }

  template <class N>
  NDL_IN_BLOCK void neurons(const WideOp<T>& op, int64_t t) const {
    if constexpr (!N::draws) {
      constexpr int S = device::state_count<N>();
      const N& model = *reinterpret_cast<const N*>(op.model->bytes);
      threads.each(items, op.count, [&](int32_t b, int32_t e) {
        T s[S + 1], out;
        for (int k = 0; k < S; ++k) s[k] = cell(op.near[kWideOld + 1 + k], t, b, e);
        device::step_any(model, cell(op.near[kWideIn], t, b, e), out, s);
        put(op, 0, t, b, e, out);
        for (int k = 0; k < S; ++k) put(op, 1 + k, t, b, e, s[k]);
      });
    }
  }

  // ---- products

  NDL_IN_BLOCK void product(const WideOp<T>& op, int64_t t) const {
    const auto row = [&](int32_t b, int32_t r, const auto& team) {
      T sum = team.sum(op.kind == Wide::sparse ? entries(op, t, b, r, team)
                       : op.told >= 0          ? fired(op, b, r, team)
                                               : dense(op, t, b, r, team));
      if (team.lane != 0) return;
      if (op.has_bias) sum += cell(op.near[kWideIn], t, b, r);
      set(op, t, b, r, sum);
    };
    if (op.teams) return threads.each_row(items, op.count, row);
    threads.each(items, op.count, [&](int32_t b, int32_t r) { row(b, r, Alone{}); });
  }

  // What a lane of a team adds up of a row.
  template <class Team>
  NDL_IN_BLOCK T dense(const WideOp<T>& op, int64_t t, int32_t b, int32_t r, const Team& team) const {
    const T* const A = op.in_cells ? &cell(op.near[kWideA], t, b, r) : fixed + op.weights + r * op.width;
    const T* const X = near + op.x.row(t) + b * block.item;
    const int32_t distance = op.a_step, n = op.n, step = op.x.step;
    T sum = 0;
    NDL_UNROLL_SUM
    for (int32_t j = team.lane; j < n; j += team.size) sum = device::fma(A[j * distance], X[j * step], sum);
    return sum;
  }
  NDL_IN_BLOCK bool bit(const WideExchange& x, int32_t b, int32_t word, int32_t bit) const {
    return (integers[b * block.item_integers + x.at + word] >> bit) & 1;
  }
  // Of neurons that have fired.
  template <class Team>
  NDL_IN_BLOCK T fired(const WideOp<T>& op, int32_t b, int32_t r, const Team& team) const {
    const WideExchange& x = exchanges[op.told];
    const T height = op.b;
    const T* const A = fixed + op.weights + r * op.width;
    T sum = 0;
    if (team.size == 1 || !finite) {
      for (int32_t j = team.lane; j < op.n; j += team.size) {
        const bool has = bit(x, b, x.word(j), x.bit(j));
        if (has || !finite) sum = device::fma(A[j], has ? height : T(0), sum);
      }
      return sum;
    }
    const int32_t* const there = integers + b * block.item_integers;
    const int32_t count = there[x.counts() + team.lane];
    const int32_t* list = there + x.lists() + team.lane;
    NDL_NO_UNROLL
    for (int32_t i = 0; i < count; i += 4, list += kWideLanes) {
      const uint32_t four = static_cast<uint32_t>(*list);
      T a[4];
      NDL_UNROLL
      for (int k = 0; k < 4; ++k) a[k] = A[((four >> (8 * k)) & 255) * kWideLanes + team.lane];
      NDL_UNROLL
      for (int k = 0; k < 4; ++k) sum = device::fma(a[k], height, sum);
    }
    return sum;
  }
  template <class Team>
  NDL_IN_BLOCK T entries(const WideOp<T>& op, int64_t t, int32_t b, int32_t r, const Team& team) const {
    const int32_t from = codes[op.starts + r], to = codes[op.starts + r + 1];
    const int32_t* const code = codes + op.codes;
    const T* const A = fixed + op.weights;
    const T* const X = near + op.x.row(t) + b * block.item;
    const int32_t* const bits = op.told >= 0 ? integers + b * block.item_integers + exchanges[op.told].at : nullptr;
    T sum = 0;
    NDL_UNROLL_SUM
    for (int32_t j = from + team.lane; j < to; j += team.size) {
      const int32_t c = code[j];
      const T value = bits ? ((bits[c >> 5] >> (c & 31)) & 1 ? op.b : T(0)) : X[c * op.x.step];
      sum = device::fma(A[j], value, sum);
    }
    return sum;
  }
};

}  // namespace cuda
}  // namespace nengo_dl
