// Compact forms of the ops that most loops consist of, where elements lie at regular distances: a loop executes a few
// hundred instructions per op and step, and a GPU waits for those that it has to fetch.
#pragma once

#include <algorithm>
#include <optional>

#include "cuda/copy.h"
#include "cuda/dense.h"
#include "cuda/filters.h"
#include "cuda/neurons.h"

namespace nengo_dl {
namespace cuda {

// Elements of an operand: element e of all blocks, one behind the other, lies at first + e * step.
struct Line {
  int32_t buffer = 0, step = 0;
  int64_t shift = 0, first = 0;

  Line() = default;
  explicit Line(const Place& p)
      : buffer(static_cast<int32_t>(p.view.buffer)),
        step(static_cast<int32_t>(p.step)),
        shift(p.view.shift),
        first(p.view.first) {}
  static bool may_read(const Place& p) { return p.linear && std::abs(p.step) < INT32_MAX; }
  static bool may_write(const Place& p) { return may_read(p) && !p.start && p.count < INT32_MAX; }
  template <class T>
  NDL_HD T* at(const Frame<T>& f, int64_t t, uint32_t b, uint32_t e) const {
    return f.base[buffer] + (t + shift) * f.row[buffer] + b * f.item[buffer] + first + int64_t{step} * e;
  }
};

// An index of a phase of `count` elements per item.
struct Item {
  uint32_t e, b;
  NDL_HD Item(int64_t i, int64_t batch, uint32_t count) : e(static_cast<uint32_t>(i)), b(0) {
    if (batch > 1) b = e / count, e -= b * count;
  }
};

template <class T>
struct FlatOp : PlainOp {
  uint32_t count = 0;  // elements of an item

  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t) const {
    return f.batch * count;
  }
};

template <class T>
struct FlatCopyOp : FlatOp<T> {
  Line src, dst;
  bool set;

  static std::optional<FlatCopyOp> of(const CopyOp<T>& op) {
    if (!Line::may_read(op.src) || !Line::may_write(op.dst)) return {};
    FlatCopyOp flat;
    flat.src = Line(op.src), flat.dst = Line(op.dst);
    flat.set = op.set, flat.count = static_cast<uint32_t>(op.dst.count);
    return flat;
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t, int64_t, int64_t i, const Team&) const {
    const Item at(i, f.batch, this->count);
    const T value = *src.at(f, t, at.b, at.e);
    T* const to = dst.at(f, t, at.b, at.e);
    *to = set ? value : *to + value;
  }
};

template <class T>
struct FlatElementwiseOp : FlatOp<T> {
  Line a, x, y;
  bool set;

  static std::optional<FlatElementwiseOp> of(const ElementwiseOp<T>& op) {
    if (!Line::may_read(op.factor[0]) || !Line::may_read(op.factor[1]) || !Line::may_write(op.y)) return {};
    FlatElementwiseOp flat;
    flat.a = Line(op.factor[0]), flat.x = Line(op.factor[1]), flat.y = Line(op.y);
    flat.set = op.set, flat.count = static_cast<uint32_t>(op.y.count);
    return flat;
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t, int64_t, int64_t i, const Team&) const {
    const Item at(i, f.batch, this->count);
    const T value = *a.at(f, t, at.b, at.e) * *x.at(f, t, at.b, at.e);
    T* const to = y.at(f, t, at.b, at.e);
    *to = set ? value : *to + value;
  }
};

template <class T>
struct FlatLowpassOp : FlatOp<T> {
  Line x, y;
  T a, b;

  static std::optional<FlatLowpassOp> of(const LowpassOp<T>& op, const OpRecord& record) {
    const std::vector<double> as = record.per_block("a"), bs = record.per_block("b");
    const auto differ = [](const std::vector<double>& v) {
      return std::count(v.begin(), v.end(), v[0]) != int64_t(v.size());
    };
    if (!Line::may_read(op.x) || !Line::may_write(op.y) || differ(as) || differ(bs)) return {};
    FlatLowpassOp flat;
    flat.x = Line(op.x), flat.y = Line(op.y);
    flat.a = static_cast<T>(as[0]), flat.b = static_cast<T>(bs[0]), flat.count = static_cast<uint32_t>(op.y.count);
    return flat;
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t, int64_t, int64_t i, const Team&) const {
    const Item at(i, f.batch, this->count);
    T* const now = y.at(f, t, at.b, at.e);
    *now = a * now[-f.row[y.buffer]] + b * *x.at(f, t, at.b, at.e);
  }
};

template <class T>
struct FlatNeuronsOp : FlatOp<T> {
  int type;
  Line J, out, state[kMaxNeuronStates];
  const NeuronModel* models;

  static std::optional<FlatNeuronsOp> of(const NeuronsOp<T>& op, const OpRecord& record, Tables& tables) {
    if (op.draws || op.model_of) return {};
    const Place out(record.arg("out"), tables);
    if (!Line::may_read(op.sums) || !Line::may_write(out)) return {};
    FlatNeuronsOp flat;
    flat.type = op.type, flat.models = op.models, flat.count = static_cast<uint32_t>(out.count);
    flat.J = Line(op.sums), flat.out = Line(out);
    const std::vector<std::string>& states = neuron_specs()[op.type].states;
    for (size_t s = 0; s < states.size(); ++s) {
      const Place place(record.arg(states[s]), tables);
      if (!Line::may_write(place)) return {};
      flat.state[s] = Line(place);
    }
    return flat;
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t, int64_t, int64_t i, const Team&) const {
    with_neuron_type<T>(type, [&](auto* type) { step<typename device::Bare<decltype(*type)>::type>(f, t, i); });
  }

 private:
  template <class N>
  NDL_HD void step(const Frame<T>& f, int64_t t, int64_t i) const {
    if constexpr (!N::draws) {
      constexpr int S = device::state_count<N>();
      const Item at(i, f.batch, this->count);
      const N& model = *reinterpret_cast<const N*>(models[0].bytes);
      T s[S + 1], *now[S + 1];
      for (int k = 0; k < S; ++k) {
        now[k] = state[k].at(f, t, at.b, at.e);
        s[k] = now[k][-f.row[state[k].buffer]];
      }
      device::step_any(model, *J.at(f, t, at.b, at.e), *out.at(f, t, at.b, at.e), s);
      for (int k = 0; k < S; ++k) *now[k] = s[k];
    }
  }
};

// Weights of a param that lie column by column are turned before the loop, so that a team reads them side by side.
template <class T>
struct FlatDenseOp : FlatOp<T> {
  static constexpr bool knows_teams = true;
  uint32_t m, n;
  int64_t a_block, x_block, a_i, a_j, x_j;  // distances
  Line a, x, y, bias;
  bool set, has_bias;
  T* turned = nullptr;

  static std::optional<FlatDenseOp> of(const DenseOp<T>& op, Tables& tables) {
    constexpr int64_t kMost = INT32_MAX;
    if (!op.a.view.regular || !op.x.view.regular || !Line::may_write(op.y)) return {};
    if ((op.has_bias && !Line::may_read(op.bias)) || op.n >= kMost) return {};
    FlatDenseOp flat;
    flat.m = static_cast<uint32_t>(op.m), flat.n = static_cast<uint32_t>(op.n);
    flat.count = static_cast<uint32_t>(op.y.count);
    flat.a = Line(op.a), flat.x = Line(op.x), flat.y = Line(op.y);
    if (op.has_bias) flat.bias = Line(op.bias);
    flat.a_block = op.a.view.distance, flat.x_block = op.x.view.distance;
    flat.a_i = op.a_i, flat.a_j = op.a_j, flat.x_j = op.x_j;
    flat.set = op.set, flat.has_bias = op.has_bias;
    if (flat.teams(0) && op.shared_a && op.a_j != 1)
      flat.turned = reinterpret_cast<T*>(tables.room(int64_t{flat.count} * flat.n * int64_t{sizeof(T)}));
    return flat;
  }
  NDL_HD bool teams(int) const { return n >= static_cast<uint32_t>(DenseOp<T>::kLong); }
  int64_t length(int) const { return 1 + n / (teams(0) ? 32 * 16 : 16); }

  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t, int64_t, int64_t i, const Team& team) const {
    const Item at(i, f.batch, this->count);
    const uint32_t k = at.e / m, row = at.e - k * m;
    const T* X = x.at(f, t, at.b, 0) + k * x_block;
    const T* A = turned ? turned + int64_t{at.e} * n : a.at(f, t, at.b, 0) + k * a_block + row * a_i;
    const int64_t distance = turned ? 1 : a_j;
    T sum = 0;
    NDL_UNROLL_SUM
    for (uint32_t j = team.lane; j < n; j += team.size) sum = device::fma(A[j * distance], X[j * x_j], sum);
    sum = team.sum(sum);
    if (team.lane != 0) return;
    if (has_bias) sum += *bias.at(f, t, at.b, at.e);
    T* const to = y.at(f, t, at.b, at.e);
    *to = set ? sum : *to + sum;
  }
  // Turns element i of the weights.
  NDL_HD void turn(const Frame<T>& f, int64_t i) const {
    Digits digits{i};
    const int64_t row = digits.take(m), column = digits.take(n), k = digits.rest;
    turned[(k * m + row) * n + column] = a.at(f, 0, 0, 0)[k * a_block + row * a_i + column * a_j];
  }
};

template <class T>
struct TurnWeights {
  FlatDenseOp<T> op;
  Frame<T> frame;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team&) const {
    op.turn(frame, i);
  }
};

}  // namespace cuda
}  // namespace nengo_dl

#define NDL_FLAT_OPS(X)                  \
  X(flat_copy, FlatCopyOp)               \
  X(flat_elementwise, FlatElementwiseOp) \
  X(flat_lowpass, FlatLowpassOp)         \
  X(flat_neurons, FlatNeuronsOp)         \
  X(flat_dense, FlatDenseOp)
