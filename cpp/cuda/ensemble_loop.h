// Loops that consist of small islands, each with one ensemble whose neurons act on themselves through few numbers: a
// warp has an island of an item. Its lanes keep neurons, encoders and decoders in registers for all steps, and small
// signals in slots of memory close by; warps never wait for each other.
#pragma once

#include <vector>

#include "cuda/neurons.h"
#include "cuda/wide_loop.h"

namespace nengo_dl {
namespace cuda {

constexpr int kEnsembleLanes = 32;  // of a warp; elements that an op, or what is loaded or stored, may have
constexpr int kEnsembleDims = 4, kEnsembleRows = 8;  // numbers that neurons get, and that are decoded
constexpr int kEnsembleWarps = 4;                    // of a block: items of one island

enum class Small : int32_t { copy, product, lowpass, fire };

// A slot and an element of a buffer.
struct EnsemblePort {
  Far far;
  int32_t slot = 0;
};
// to (+)= from, or from * other, or to = a * to + b * from: slots.
template <class T>
struct SmallEntry {
  int16_t to = 0, from = 0, other = 0;
  T a = 0, b = 0;
};
// An op with an element for each lane; `fire`: the neurons with all products of theirs.
struct SmallOp {
  Small kind = Small::copy;
  bool set = true;
  int32_t first = 0, count = 0;  // of its entries
};

template <class T>
struct EnsembleIsland {
  Span ops, entries, loads, stores, once_loads, once_stores;  // once: before the first step, after the last
  int32_t n = 0, dims = 0, rows = 0;
  bool has_bias = false;
  Far encoders, bias;                // element j: of neuron j, the first number
  int64_t encoder_step = 0;          // to the next number
  int32_t x[kEnsembleDims] = {};     // slots
  Far decoders[kEnsembleRows];       // element j is of neuron j
  int32_t y[kEnsembleRows] = {};     // slots
  bool set[kEnsembleRows] = {};      // the slot is set, else added to
  Far state[kMaxNeuronStates];       // before a step
  bool kept[kMaxNeuronStates] = {};  // in a row for each step
  Far J, out;                        // kept if they have a row for each step
  const NeuronModel* model = nullptr;
};

template <class T>
struct EnsembleCall {
  const EnsembleIsland<T>* islands;
  const SmallOp* ops;
  const SmallEntry<T>* entries;
  const EnsemblePort* ports;
  int64_t count;                          // islands
  int32_t type, neurons, dims, rows;      // NeuronNumber; the most of any island
  int32_t most_ops, most_entries, slots;  // likewise
  int64_t t0, t1;
  Frame<T> frame;

  // Of a block's memory, for so many warps.
  NDL_HD int64_t bytes(int32_t warps) const {
    return int64_t{sizeof(EnsembleIsland<T>)} + most_ops * int64_t{sizeof(SmallOp)} +
           most_entries * int64_t{sizeof(SmallEntry<T>)} + warps * slots * int64_t{sizeof(T)};
  }
};

// The same on the host.
template <class T>
struct EnsemblePlan {
  std::vector<EnsembleIsland<T>> islands;
  std::vector<SmallOp> ops;
  std::vector<SmallEntry<T>> entries;
  std::vector<EnsemblePort> ports;
  std::vector<int64_t> in_rows, in_place;  // buffers that must have a row for each step, and one for all
  int32_t type = 0, slots = 0;
  bool good = false;
};

template <class T>
EnsemblePlan<T> plan_ensembles(const std::vector<LoopOp>& ops, const Program& program, Tables& tables);

// Starts the kernel (compiled as C++: runs it).
template <class T>
void start_ensembles(const EnsembleCall<T>& call);

// What a block's warps have in common.
template <class T>
struct EnsembleTables {
  const EnsembleIsland<T>& island;
  const SmallOp* ops;            // of the island
  const SmallEntry<T>* entries;  // likewise
  const EnsemblePort* ports;     // of all
};

// A lane of a warp. N: type of neuron; K: neurons of a lane; D, R: the most numbers in and out; Team: `lane` of `size`,
// `sum`, `sync`.
template <class T, class N, int K, int D, int R, class Team>
class EnsembleLane {
 public:
  NDL_HD EnsembleLane(const EnsembleTables<T>& tables, const Frame<T>& frame, T* slots, int64_t item, int64_t t0,
                      const Team& team)
      : tables_(tables),
        island_(tables.island),
        frame_(frame),
        slots_(slots),
        item_(item),
        team_(team),
        model_(*reinterpret_cast<const N*>(tables.island.model->bytes)) {
    for (int i = 0; i < kPorts; ++i) load_slot_[i] = -1;
    each_port(island_.once_loads, [&](int, const EnsemblePort& p) {
      slots_[p.slot] = frame_.base[p.far.buffer] ? *p.far.at(frame_, t0, item_, 0) : T(0);
    });
    each_port(island_.loads, [&](int i, const EnsemblePort& p) {
      loads_[i] = stream(p.far, t0, 0), load_slot_[i] = p.slot;
      fetch(i);
    });
    each_port(island_.stores,
              [&](int i, const EnsemblePort& p) { stores_[i] = stored(p.far, t0, 0), store_slot_[i] = p.slot; });
    J_ = stored(island_.J, t0, team_.lane), out_ = stored(island_.out, t0, team_.lane);
    each_neuron([&](int k, int32_t j) {
      NDL_UNROLL
      for (int d = 0; d < D; ++d)
        encoder_[k][d] = d < island_.dims ? island_.encoders.at(frame_, 0, 0, j)[d * island_.encoder_step] : T(0);
      NDL_UNROLL
      for (int r = 0; r < R; ++r) decoder_[k][r] = r < island_.rows ? *island_.decoders[r].at(frame_, 0, 0, j) : T(0);
      bias_[k] = island_.has_bias ? *island_.bias.at(frame_, 0, 0, j) : T(0);
      for (int s = 0; s < S; ++s) state_[k][s] = *island_.state[s].at(frame_, t0, item_, j);
    });
    team_.sync();
  }

  NDL_HD void step(int64_t t, bool last) {
    NDL_UNROLL
    for (int i = 0; i < kPorts; ++i) {
      if (load_slot_[i] < 0) continue;
      slots_[load_slot_[i]] = next_[i];
      if (!last) fetch(i);  // is there when it is wanted
    }
    team_.sync();
    for (int32_t i = 0; i < island_.ops.count; ++i) {
      const SmallOp op = tables_.ops[i];
      if (op.kind == Small::fire)
        fire(t);
      else
        small(op);
      team_.sync();
    }
    NDL_UNROLL
    for (int i = 0; i < kPorts; ++i)
      if (stores_[i].at) *stores_[i].at = slots_[store_slot_[i]], stores_[i].at += stores_[i].row;
    team_.sync();
  }

  NDL_HD void finish(int64_t t1) {
    each_port(island_.once_stores,
              [&](int, const EnsemblePort& p) { *p.far.at(frame_, t1, item_, 0) = slots_[p.slot]; });
    each_neuron([&](int k, int32_t j) {
      for (int s = 0; s < S; ++s)
        if (!island_.kept[s]) *island_.state[s].at(frame_, t1, item_, j) = state_[k][s];
    });
  }

 private:
  static constexpr int S = device::state_count<N>(), kPorts = kEnsembleLanes / Team::size;

  // f(i, port) for the ports of this lane; i counts them.
  template <class F>
  NDL_HD void each_port(const Span& ports, const F& f) const {
    NDL_UNROLL
    for (int i = 0; i < kPorts; ++i)
      if (const int32_t p = team_.lane + i * Team::size; p < ports.count) f(i, tables_.ports[ports.first + p]);
  }
  // f(k, j) for its neurons.
  template <class F>
  NDL_HD void each_neuron(const F& f) const {
    NDL_UNROLL
    for (int k = 0; k < K; ++k)
      if (const int32_t j = team_.lane + k * Team::size; j < island_.n) f(k, j);
  }
  // A place in one row after the other. Null: nobody makes or wants the values.
  struct Stream {
    T* at = nullptr;
    int64_t row = 0;
  };
  NDL_HD Stream stream(const Far& far, int64_t t0, int64_t e) const {
    return {frame_.base[far.buffer] ? far.at(frame_, t0, item_, e) : nullptr, frame_.row[far.buffer]};
  }
  // Without rows, values are the warp's alone.
  NDL_HD Stream stored(const Far& far, int64_t t0, int64_t e) const {
    return frame_.row[far.buffer] ? stream(far, t0, e) : Stream();
  }
  NDL_HD void fetch(int i) {
    if (loads_[i].at) next_[i] = *loads_[i].at, loads_[i].at += loads_[i].row;
  }

  NDL_HD void small(const SmallOp& op) const {
    for (int32_t i = team_.lane; i < op.count; i += Team::size) {
      const SmallEntry<T> e = tables_.entries[op.first + i];
      T* const to = slots_ + e.to;
      const T from = slots_[e.from];
      if (op.kind == Small::lowpass) {
        *to = e.a * *to + e.b * from;
        continue;
      }
      const T value = op.kind == Small::product ? from * slots_[e.other] : from;
      *to = op.set ? value : *to + value;
    }
  }

  // A lane without so many neurons does the same with zeros: all go on side by side.
  NDL_HD void fire(int64_t t) {
    T x[D], J[K], out[K];
    NDL_UNROLL
    for (int d = 0; d < D; ++d) x[d] = d == 0 || d < island_.dims ? slots_[island_.x[d]] : T(0);
    NDL_UNROLL
    for (int k = 0; k < K; ++k) {
      J[k] = 0;
      NDL_UNROLL
      for (int d = 0; d < D; ++d)
        if (d == 0 || d < island_.dims) J[k] = device::fma(encoder_[k][d], x[d], J[k]);
      if (island_.has_bias) J[k] += bias_[k];
    }
    step_neurons(J, out);
    each_neuron([&](int k, int32_t j) {
      if (J_.at) J_.at[k * Team::size * island_.J.step] = J[k];
      if (out_.at) out_.at[k * Team::size * island_.out.step] = out[k];
      for (int s = 0; s < S; ++s)
        if (island_.kept[s]) *island_.state[s].at(frame_, t + 1, item_, j) = state_[k][s];
    });
    if (J_.at) J_.at += J_.row;
    if (out_.at) out_.at += out_.row;
    decode(out);
  }
  NDL_HD void step_neurons(const T (&J)[K], T (&out)[K]) {
    if constexpr (Team::size == 1 || !device::settles<N>(0)) {
      NDL_UNROLL
      for (int k = 0; k < K; ++k) device::step_any(model_, J[k], out[k], state_[k]);
    } else {
      unsigned fired = 0;
      NDL_UNROLL
      for (int k = 0; k < K; ++k) fired |= model_.step(J[k], out[k], state_[k]) ? 1u << k : 0u;
      for (; fired; fired &= fired - 1) settle(J, fired & (0u - fired));  // few lanes have more than one
    }
  }
  // The neuron of this bit.
  NDL_HD void settle(const T (&J)[K], unsigned bit) {
    T current = 0, s[S + 1] = {};
    NDL_UNROLL
    for (int k = 0; k < K; ++k) {
      if (bit != 1u << k) continue;
      current = J[k];
      for (int i = 0; i < S; ++i) s[i] = state_[k][i];
    }
    model_.settle(current, s);
    NDL_UNROLL
    for (int k = 0; k < K; ++k)
      for (int i = 0; i < S; ++i) state_[k][i] = bit == 1u << k ? s[i] : state_[k][i];
  }
  NDL_HD void decode(const T (&out)[K]) {
    T sums[R] = {};
    each_neuron([&](int k, int32_t) {
      NDL_UNROLL
      for (int r = 0; r < R; ++r) sums[r] = device::fma(decoder_[k][r], out[k], sums[r]);
    });
    NDL_UNROLL
    for (int r = 0; r < R; ++r) {
      if (r >= island_.rows) break;
      const T sum = team_.sum(sums[r]);
      if (team_.lane == 0) slots_[island_.y[r]] = island_.set[r] ? sum : slots_[island_.y[r]] + sum;
    }
  }

  const EnsembleTables<T>& tables_;
  const EnsembleIsland<T>& island_;
  const Frame<T>& frame_;
  T* const slots_;
  const int64_t item_;
  const Team team_;
  const N model_;
  T encoder_[K][D] = {}, decoder_[K][R] = {}, bias_[K] = {}, state_[K][S + 1] = {};
  Stream J_, out_, loads_[kPorts], stores_[kPorts];
  int32_t load_slot_[kPorts], store_slot_[kPorts];
  T next_[kPorts] = {};
};

template <class T, class N, int K, int D, int R, class Team>
NDL_HD void run_island(const EnsembleTables<T>& tables, const EnsembleCall<T>& call, T* slots, int64_t item,
                       const Team& team) {
  EnsembleLane<T, N, K, D, R, Team> lane(tables, call.frame, slots, item, call.t0, team);
  for (int64_t t = call.t0; t < call.t1; ++t) lane.step(t, t + 1 == call.t1);
  lane.finish(call.t1);
}

}  // namespace cuda
}  // namespace nengo_dl
