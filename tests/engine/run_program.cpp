// Loads a program from bytes, runs it and goes back through it, on a tape and without; bytes that are none are refused.
#include <random>

#include "engine/engine.h"
#include "helpers/expect.h"
#include "helpers/weighted_filter.h"

namespace {

using namespace nengo_dl;

void check_values_and_gradients(int threads, int64_t memory, bool with_tape) {
  const WeightedFilter model(7, 5);
  const Compiled compiled(WeightedFilter::bytes());
  FilterRun run(model);
  const std::vector<double> before = run.state;
  run.args.threads = threads;
  run.args.record.memory = memory;
  std::shared_ptr<Tape> tape;
  if (with_tape) tape = compiled.new_tape(model.batch, model.n_steps, run.args.record);
  run.args.tape = tape.get();
  const RunResult result = compiled.run(run.args);
  const std::string what = std::to_string(threads) + " threads, memory " + std::to_string(memory);
  expect(result.steps == model.n_steps && !result.error && !result.cancelled, what + ": all steps");
  expect_near(run.output, model.output(), what + ": outputs");
  expect_near(run.state, model.last(run.output), what + ": state");

  run.state = before;
  FilterGrad grad(model, run);
  compiled.grad(grad.args);
  expect_near(grad.input, model.input_grad(grad.given), what + ": gradient by the input");
  expect_near(grad.weights, model.weight_grad(grad.given), what + ": gradient by the weights");
  expect_near(grad.state, model.state_grad(grad.given), what + ": gradient by the state");
}

// Whatever is wrong with the bytes: an error, and nothing is left behind.
void check_refused_bytes() {
  const std::string good = WeightedFilter::bytes();
  for (size_t size = 0; size < good.size(); ++size)
    expect_throw<ProgramError>([&] { Compiled(good.substr(0, size)); }, "program");
  std::mt19937 random(0);
  for (int i = 0; i < 2000; ++i) {
    std::string bad = good;
    bad[random() % bad.size()] ^= static_cast<char>(1 << random() % 8);
    try {
      const Compiled compiled(bad);
      compiled.tape_bytes(2, 3, {});
    } catch (const ProgramError&) {
    }
  }
}

void check_refused_runs() {
  const WeightedFilter model(2, 3);
  const Compiled compiled(WeightedFilter::bytes());
  FilterRun run(model);
  run.args.params.clear();
  expect_throw<std::invalid_argument>([&] { compiled.run(run.args); }, "parameters");
  expect_throw<std::logic_error>([&] { compiled.run(RunArgs<float>()); }, "expected float64 arguments");
}

}  // namespace

int main() {
  for (int threads : {1, 3}) {
    check_values_and_gradients(threads, -1, true);
    check_values_and_gradients(threads, 0, true);
    check_values_and_gradients(threads, 0, false);
  }
  check_refused_bytes();
  check_refused_runs();
  return failures != 0;
}
