// A program small enough to be worked out by hand: y(t) = a y(t-1) + b w.x(t), and its derivatives.
#pragma once

#include <string>
#include <vector>

#include "engine/engine.h"
#include "helpers/program_bytes.h"

struct WeightedFilter {
  static constexpr int64_t kSize = 3;  // of x
  static constexpr double kA = 0.75, kB = 0.5;

  WeightedFilter(int64_t batch, int64_t n_steps) : batch(batch), n_steps(n_steps) {
    for (int64_t i = 0; i < batch * n_steps * kSize; ++i) input.push_back((i * 7 % 11 - 5) / 4.0);
    for (int64_t i = 0; i < batch; ++i) state.push_back(i / 2.0 - 1);
  }

  static std::string bytes() {
    using namespace program_bytes;
    Parts p;
    p.buffers = {buffer("window", kSize), buffer("window", 1), buffer("carried", 1, -1, 0), buffer("param", kSize, 0)};
    p.params = {param(kSize)};
    p.inputs = {port(kSize)}, p.outputs = {port(1)};
    p.state_size = 1;
    const Slice x{0, {kSize}}, j{1, {1}}, y{2, {1}, {0}, 1}, w{3, {1, kSize}};
    const Entries set = {{"set", integer(1)}}, first = {{"index", integer(0)}};
    p.regions = {region("loop", {op("input", {{"dst", x}}, first), op("dense", {{"A", w}, {"X", x}, {"Y", j}}, set),
                                 op("lowpass", {{"x", j}, {"y", y}}, {{"a", number(kA)}, {"b", number(kB)}}),
                                 op("output", {{"src", y}}, first)})};
    return program(p);
  }

  std::vector<double> output() const {
    std::vector<double> y;
    for (int64_t item = 0; item < batch; ++item) {
      double now = state[item];
      for (int64_t t = 0; t < n_steps; ++t) {
        double j = 0;
        for (int64_t i = 0; i < kSize; ++i) j += weights[i] * x(item, t, i);
        y.push_back(now = kA * now + kB * j);
      }
    }
    return y;
  }
  std::vector<double> last(const std::vector<double>& y) const {
    std::vector<double> state;
    for (int64_t item = 0; item < batch; ++item) state.push_back(y[(item + 1) * n_steps - 1]);
    return state;
  }

  // From the derivatives of a loss by the outputs: those by y(t) itself, which acts on all later steps, too.
  std::vector<double> adjoint(const std::vector<double>& given) const {
    std::vector<double> all = given;
    for (int64_t item = 0; item < batch; ++item)
      for (int64_t t = n_steps - 1; t-- > 0;) all[item * n_steps + t] += kA * all[item * n_steps + t + 1];
    return all;
  }
  std::vector<double> input_grad(const std::vector<double>& given) const {
    std::vector<double> grad;
    for (double d : adjoint(given))
      for (double w : weights) grad.push_back(kB * w * d);
    return grad;
  }
  std::vector<double> weight_grad(const std::vector<double>& given) const {
    const std::vector<double> all = adjoint(given);
    std::vector<double> grad(kSize);
    for (size_t k = 0; k < all.size(); ++k)
      for (int64_t i = 0; i < kSize; ++i) grad[i] += kB * all[k] * input[k * kSize + i];
    return grad;
  }
  std::vector<double> state_grad(const std::vector<double>& given) const {
    std::vector<double> grad;
    for (int64_t item = 0; item < batch; ++item) grad.push_back(kA * adjoint(given)[item * n_steps]);
    return grad;
  }

  double x(int64_t item, int64_t t, int64_t i) const { return input[(item * n_steps + t) * kSize + i]; }

  int64_t batch, n_steps;
  std::vector<double> input, weights = {0.5, -1.25, 2}, state;  // state: before the run
};

struct FilterRun {
  explicit FilterRun(const WeightedFilter& model)
      : output(model.batch * model.n_steps), weights(model.weights), state(model.state) {
    args.batch = model.batch, args.n_steps = model.n_steps;
    args.inputs = {model.input.data()}, args.params = {weights.data()}, args.outputs = {output.data()};
    args.keep_last = {0};
    args.state = state.data();
  }
  FilterRun(const FilterRun&) = delete;

  std::vector<double> output, weights, state;
  nengo_dl::RunArgs<double> args;
};

struct FilterGrad {
  // Of a run whose state has been put back; on its tape, if it has one.
  FilterGrad(const WeightedFilter& model, const FilterRun& run)
      : input(model.input.size()), weights(model.weights.size()), state(model.batch) {
    for (size_t i = 0; i < run.output.size(); ++i) given.push_back((i * 5 % 7 - 3.0) / 2);
    args.run = run.args;
    args.tape = args.run.tape, args.run.tape = nullptr;
    args.output_grads = {given.data()}, args.learned_grads = {nullptr};
    args.input_grads = {input.data()}, args.param_grads = {weights.data()}, args.state_grad = state.data();
  }
  FilterGrad(const FilterGrad&) = delete;

  std::vector<double> given, input, weights, state;
  nengo_dl::GradArgs<double> args;
};
