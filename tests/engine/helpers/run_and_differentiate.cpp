// Runs a program from a file and differentiates the run, on one backend, in the ways that move values about: plain, on
// tapes with and without room for them, and without a tape. Prints the sum of what it computed.
//   run_and_differentiate BACKEND FILE
#include <fstream>
#include <iostream>
#include <iterator>
#include <numeric>
#include <string>

#include "engine/engine.h"

using namespace nengo_dl;

namespace {

constexpr int64_t kBatch = 3, kSteps = 600;

struct Arrays {  // that live as long as this
  std::vector<std::vector<double>> memory;
  double* add(int64_t count) {
    memory.emplace_back(count);
    for (int64_t i = 0; i < count; ++i) memory.back()[i] = static_cast<double>(i * 37 % 101) / 100;
    return memory.back().data();
  }
  double sum() const {
    double total = 0;
    for (const auto& values : memory) total = std::accumulate(values.begin(), values.end(), total);
    return total;
  }
};

RunArgs<double> run_args(const Program& p, Arrays* arrays) {
  RunArgs<double> run;
  run.batch = kBatch, run.n_steps = kSteps;
  for (const Port& q : p.inputs) run.inputs.push_back(arrays->add(kBatch * kSteps * q.size));
  for (const Param& q : p.params) run.params.push_back(arrays->add((q.learned ? kBatch : 1) * q.size));
  run.state = arrays->add(kBatch * p.state_size);
  for (const Port& q : p.outputs) {
    run.outputs.push_back(arrays->add(kBatch * kSteps * q.size));
    run.keep_last.push_back(0);
  }
  return run;
}

double differentiate(const Compiled& compiled, const Tape* tape, int64_t memory) {
  const Program& p = compiled.program();
  Arrays given, asked;
  GradArgs<double> grad;
  grad.run = run_args(p, &given);
  grad.run.record.memory = memory;
  grad.tape = tape;
  for (const Port& q : p.outputs) grad.output_grads.push_back(given.add(kBatch * kSteps * q.size));
  for (const Port& q : p.inputs) grad.input_grads.push_back(asked.add(kBatch * kSteps * q.size));
  for (const Param& q : p.params) {
    grad.learned_grads.push_back(q.learned ? given.add(kBatch * q.size) : nullptr);
    grad.param_grads.push_back(asked.add((q.learned ? kBatch : 1) * q.size));
  }
  grad.state_out_grad = given.add(kBatch * p.state_size);
  grad.state_grad = asked.add(kBatch * p.state_size);
  compiled.grad(grad);
  return asked.sum();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::cerr << "usage: run_and_differentiate BACKEND FILE\n", 2;
  std::ifstream file(argv[2], std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const Compiled compiled(bytes, argv[1]);
  double total = 0;
  for (int64_t memory : {-1, 0}) {
    Arrays arrays;
    RunArgs<double> run = run_args(compiled.program(), &arrays);
    compiled.run(run);
    const auto tape = compiled.new_tape(kBatch, kSteps, {memory, {}});
    run.tape = tape.get(), run.record.memory = memory;
    compiled.run(run);
    total += arrays.sum() + differentiate(compiled, tape.get(), memory) + differentiate(compiled, nullptr, memory);
  }
  std::cout << total << std::endl;
}
