// neurons: steps of a neuron type (cpp/neurons). A thread takes a neuron of an item through all steps, or, where random
// numbers are drawn in the order of the neurons, all neurons of an item.
#pragma once

#include "cuda/kernel.h"
#include "cuda/neurons_back.h"
#include "cuda/place.h"
#include "engine/twister.h"
#include "neurons/registry.h"
#include "neurons/types.h"
#include "ops/util.h"

#ifdef __CUDACC__
#define NDL_APART __host__ __device__ __noinline__
#else
#define NDL_APART
#endif

namespace nengo_dl {
namespace cuda {

// The types by their numbers, which are their places among neuron_specs().
#define NDL_NEURON_NUMBER(Type) number_of_##Type,
enum NeuronNumber { NDL_NEURON_TYPES(NDL_NEURON_NUMBER) };
#undef NDL_NEURON_NUMBER

// Calls f(N<T>*), a null pointer that names the type of this number.
#ifdef __CUDACC__
#pragma nv_exec_check_disable  // who calls it on the device has an f for the device
#endif
template <class T, class F>
NDL_HD void with_neuron_type(int number, const F& f) {
#define NDL_NEURON_CASE(Type) \
  case number_of_##Type:      \
    return f(static_cast<device::Type<T>*>(nullptr));
  switch (number) { NDL_NEURON_TYPES(NDL_NEURON_CASE) }
#undef NDL_NEURON_CASE
}

template <class T>
struct NeuronsOp : PlainOp {
  int type;  // NeuronNumber
  bool draws;
  int64_t n;  // neurons of a block
  View J, out, state[kMaxNeuronStates];
  const NeuronModel* models;
  const int32_t* model_of = nullptr;  // per block; null: there is one
  int64_t rng = 0;
  // The way back.
  static constexpr int back_phases = 2;         // adjoints of states and J; sums of those of J
  const device::Surrogate<T>* bumps = nullptr;  // per model; null: derivatives don't pass
  bool straight = false;                        // the surrogate is no bump
  bool constant;                                // J is in a param buffer
  bool summed;                                  // an adjoint of J is a sum over neurons, items or steps
  Place sums;                                   // then: the adjoints of J
  T* parts = nullptr;                           // and what is added up, `parts_size` elements

  NeuronsOp(const OpRecord& op, const Program& program, Tables& tables)
      : n(op.arg("J").count()), J(tables.view(op.arg("J"))), out(tables.view(op.arg("out"))) {
    const NeuronSpec& spec = spec_of(op);
    type = static_cast<int>(&spec - neuron_specs().data());
    draws = spec.draws;
    if (draws) rng = op.integer("rng");
    set_way_back(op, program, tables);
    for (size_t s = 0; s < spec.states.size(); ++s) state[s] = tables.view(op.arg(spec.states[s]));
    add_models(op, spec, program.dt, tables);
  }

  int64_t length(int) const { return draws ? 1 + J.blocks * n / kDraws : 1; }
  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t) const {
    return draws ? f.batch : f.batch * J.blocks * n;
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team&) const {
    with_neuron_type<T>(type,
                        [&](auto* type) { run_apart<typename device::Bare<decltype(*type)>::type>(f, t0, t1, i); });
  }
  // Not inlined: one function with the code of all types would take minutes to compile.
  template <class N>
  NDL_APART void run_apart(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i) const {
    run_as<N, 1>(f, t0, t1, i);
  }
  // The same for neurons that are known to be of type N. `Ahead` inputs are fetched at once.
  template <class N, int Ahead>
  NDL_HD void run_as(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i) const {
    if constexpr (N::draws)
      draw<N>(f, t0, t1, i);
    else
      scan<N, Ahead>(f, t0, t1, i);
  }

  // Which of `models` each block has: a new one where it differs from the block before.
  static std::vector<int32_t> model_numbers(const OpRecord& op) {
    const NeuronSpec& spec = spec_of(op);
    std::vector<int32_t> numbers{0};
    for (int64_t k = 1; k < op.blocks; ++k)
      numbers.push_back(numbers.back() + (parameters_of(op, spec, k) != parameters_of(op, spec, k - 1)));
    return numbers;
  }

  bool loops_back() const { return !summed; }
  NDL_HD int64_t neurons() const { return J.blocks * n; }
  NDL_HD int64_t parts_size(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    return summed && to_J(f, pass) ? steps * f.adjoint.batch * neurons() : 0;
  }
  // Whether this pass adds to the adjoints of J.
  NDL_HD bool to_J(const GradFrame<T>& f, Pass pass) const {
    return f.adjoint.base[J.buffer] && constant == (pass == Pass::params);
  }
  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    if (!bumps || (pass == Pass::params && !to_J(f, pass))) return 0;
    if (P == 0) return f.adjoint.batch * neurons();
    return summed && to_J(f, pass) ? sums.work(f.adjoint, steps) : 0;
  }
  NDL_HD bool back_teams(int phase) const { return phase == 1 && constant; }
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass, int64_t i, const Team& team) const {
    if constexpr (P == 1) {
      sums.add(f.adjoint, t0, t1, i, team, [&](int64_t t, int64_t b, int64_t k, int64_t c) {
        return parts[((t - t0) * f.adjoint.batch + b) * neurons() + k * n + c];
      });
    } else {
      with_neuron_type<T>(type, [&](auto* type) {
        using N = typename device::Bare<decltype(*type)>::type;
        if constexpr (N::spikes)
          if (straight) return back_apart<N, true>(f, t0, t1, pass, i);
        back_apart<N, false>(f, t0, t1, pass, i);
      });
    }
  }
  template <class N, bool Straight>
  NDL_APART void back_apart(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass, int64_t i) const {
    back_as<N, Straight, 1>(f, t0, t1, pass, i);
  }
  template <class N, bool Straight, int Ahead>
  NDL_HD void back_as(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass, int64_t i) const {
    const Neuron neuron(*this, i);
    const N type = model<N>(neuron.k);
    const device::Surrogate<T> bump = bumps[model_of ? model_of[neuron.k] : 0];
    const int64_t last = t1 - 1, b = neuron.b;
    NeuronBack<T> way;
    way.J = {J.at(f.value, last, b) + neuron.offset(J), f.value.row[J.buffer]};
    if (f.adjoint.base[out.buffer])
      way.out = {out.at(f.adjoint, last, b) + neuron.offset(out), f.adjoint.row[out.buffer]};
    way.adds = !summed && !f.unset[J.buffer], way.states = pass == Pass::values;
    if (to_J(f, pass) && summed)
      way.by_J = {parts + ((last - t0) * f.adjoint.batch + b) * neurons() + neuron.k * n + neuron.c,
                  f.adjoint.batch * neurons()};
    else if (to_J(f, pass))
      way.by_J = {J.at(f.adjoint, last, b) + neuron.offset(J), f.adjoint.row[J.buffer]};
    for (int s = 0; s < device::state_count<N>(); ++s) state_back(f, last, neuron, s, way);
    way.template run<N, Straight, Ahead>(type, bump, t1 - t0);
  }

 private:
  // A neuron of an item.
  struct Neuron {
    int64_t c, k, b;  // its number in its block, the block, the item
    NDL_HD Neuron(const NeuronsOp& op, int64_t i) {
      Digits digits{i};
      c = digits.take(op.n), k = digits.take(op.J.blocks), b = digits.rest;
    }
    NDL_HD int64_t offset(const View& o) const { return o.block(k) + c * stride_of(o, 0); }
  };

  template <class N>
  NDL_HD const N& model(int64_t k) const {
    return *reinterpret_cast<const N*>(models[model_of ? model_of[k] : 0].bytes);
  }

  template <class N, int Ahead>
  NDL_HD void scan(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i) const {
    constexpr int S = device::state_count<N>();
    const Neuron neuron(*this, i);
    const N type = model<N>(neuron.k);  // in registers
    const int64_t J_row = f.row[J.buffer], out_row = f.row[out.buffer];
    const T* from = J.at(f, t0, neuron.b) + neuron.offset(J);
    T* to = out.at(f, t0, neuron.b) + neuron.offset(out);
    T s[S + 1], *now[S + 1];
    int64_t row[S + 1];
    for (int k = 0; k < S; ++k) {
      now[k] = state[k].at(f, t0, neuron.b) + neuron.offset(state[k]);
      row[k] = old_row(f, state[k]);
      s[k] = now[k][-row[k]];
    }
    const auto step = [&](T in) {
      device::step_any(type, in, *to, s);
      to += out_row;
      for (int k = 0; k < S; ++k)
        if (row[k]) *now[k] = s[k], now[k] += row[k];
    };
    int64_t left = t1 - t0;
    T next[Ahead] = {}, here[Ahead];
    const auto fetch = [&] {
      NDL_UNROLL
      for (int a = 0; a < Ahead; ++a) next[a] = *from, from += J_row;
    };
    if (left >= Ahead) fetch();
    NDL_NO_UNROLL
    for (; left >= Ahead; left -= Ahead) {
      NDL_UNROLL
      for (int a = 0; a < Ahead; ++a) here[a] = next[a];
      if (left >= 2 * Ahead) fetch();
      NDL_UNROLL
      for (int a = 0; a < Ahead; ++a) step(here[a]);
    }
    NDL_NO_UNROLL
    for (; left > 0; --left) step(*from), from += J_row;
    for (int k = 0; k < S; ++k)
      if (!row[k]) *now[k] = s[k];
  }

  NDL_HD void state_back(const GradFrame<T>& f, int64_t t, const Neuron& neuron, int s, NeuronBack<T>& way) const {
    const View& o = state[s];
    const int64_t offset = neuron.offset(o), value_row = f.value.row[o.buffer], row = old_row(f.adjoint, o);
    // row t of the values is the state before step t in every kind of buffer, whatever the operand's shift
    way.old[s] = {o.at(f.value, t, neuron.b) - o.shift * value_row + offset, value_row};
    if (f.adjoint.base[o.buffer]) way.by_old[s] = {o.at(f.adjoint, t, neuron.b) + offset - row, row};
  }

  template <class N>
  NDL_HD void draw(const Frame<T>& f, int64_t t0, int64_t t1, int64_t b) const {
    const N type = model<N>(0);
    const Twister random{f.istate + b * f.istate_item + rng};
    const int64_t J_stride = stride_of(J, 0), out_stride = stride_of(out, 0);
    for (int64_t t = t0; t < t1; ++t) {
      const T* from = J.at(f, t, b) + J.block(0);
      T* to = out.at(f, t, b) + out.block(0);
      for (int64_t c = 0; c < n; ++c) to[c * out_stride] = type.step(from[c * J_stride], random);
    }
  }

  static std::vector<double> parameters_of(const OpRecord& op, const NeuronSpec& spec, int64_t k) {
    std::vector<double> found{op.has("width") ? op.per_block("width")[k] : 1.0};
    for (const std::string& key : spec.parameters) found.push_back(op.per_block(key)[k]);
    return found;
  }

  static const NeuronSpec& spec_of(const OpRecord& op) {
    const std::string type = op.text("type");
    for (const NeuronSpec& spec : neuron_specs())
      if (spec.name == type) return spec;
    op.fail("unknown neuron type '" + type + "'");
  }

  void set_way_back(const OpRecord& op, const Program& program, Tables& tables) {
    const Operand& from = op.arg("J");
    constant = in_param(from, program);
    sums = Place(from, tables);
    const BufferKind kind = program.buffers[from.buffer].kind;
    summed = constant || sums.start || kind == BufferKind::state || kind == BufferKind::learned;
  }

  // The number of the surrogate; -1: derivatives don't pass.
  static int surrogate_of(const OpRecord& op, const NeuronSpec& spec) {
    if (!spec.spikes) return 0;
    if (!op.has("surrogate")) return -1;
    int number = 0;
    for (const SurrogateSpec& s : surrogate_specs()) {
      if (s.name == op.text("surrogate")) return number;
      ++number;
    }
    op.fail("unknown surrogate '" + op.text("surrogate") + "'");
  }

  void add_models(const OpRecord& op, const NeuronSpec& spec, double dt, Tables& tables) {
    const int surrogate = surrogate_of(op, spec);
    straight = spec.spikes && surrogate >= 0 && !surrogate_specs()[surrogate].width;
    std::vector<NeuronModel> made;
    std::vector<device::Surrogate<T>> bump;
    const std::vector<int32_t> which = model_numbers(op);
    for (int64_t k = 0; k < op.blocks; ++k) {
      if (which[k] < static_cast<int32_t>(made.size())) continue;
      const std::vector<double> p = parameters_of(op, spec, k);
      made.push_back(prepared(op, spec, {p.begin() + 1, p.end()}, dt));
      bump.emplace_back(surrogate, p[0]);
    }
    models = tables.add(made);
    if (made.size() > 1) model_of = tables.add(which);
    if (surrogate >= 0) bumps = tables.add(bump);
  }

  NeuronModel prepared(const OpRecord& op, const NeuronSpec& spec, std::vector<double> parameters, double dt) const {
    for (const std::string& key : spec.flags) parameters.push_back(static_cast<double>(op.integer(key)));
    NeuronModel model{};
    with_neuron_type<T>(type, [&](auto* type) {
      using N = typename device::Bare<decltype(*type)>::type;
      static_assert(sizeof(N) <= sizeof model, "raise the size of NeuronModel");
      const N made(parameters.data(), dt);
      __builtin_memcpy(model.bytes, &made, sizeof made);
    });
    return model;
  }
};

}  // namespace cuda
}  // namespace nengo_dl
