// Several threads run one program, go back through it and call functions of one table, while others make and drop
// programs: the same bits as alone. Built with ThreadSanitizer, it finds races.
#include <atomic>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "engine/engine.h"
#include "engine/recipe.h"
#include "helpers/expect.h"
#include "helpers/weighted_filter.h"

namespace {

using namespace nengo_dl;

constexpr int kThreads = 4, kRounds = 20;

void together(const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& t : threads) t.join();
}

struct Results {
  std::vector<double> output, input, weights, state;
  bool operator==(const Results& o) const {
    return output == o.output && input == o.input && weights == o.weights && state == o.state;
  }
};

Results run_and_differentiate(const Compiled& compiled, const WeightedFilter& model, int threads) {
  FilterRun run(model);
  run.args.threads = threads;
  const std::shared_ptr<Tape> tape = compiled.new_tape(model.batch, model.n_steps, {});
  run.args.tape = tape.get();
  compiled.run(run.args);
  run.state = model.state;
  FilterGrad grad(model, run);
  compiled.grad(grad.args);
  return {run.output, grad.input, grad.weights, grad.state};
}

void check_one_program() {
  const WeightedFilter models[2] = {WeightedFilter(9, 40), WeightedFilter(2, 13)};
  const Compiled alone(WeightedFilter::bytes()), shared(WeightedFilter::bytes());
  const Results expected[2] = {run_and_differentiate(alone, models[0], 1), run_and_differentiate(alone, models[1], 1)};
  std::atomic<int> bad{0};
  together([&](int number) {
    for (int round = 0; round < kRounds; ++round) {
      const int which = (number + round) % 2;
      if (!(run_and_differentiate(shared, models[which], 1 + round % 3) == expected[which])) ++bad;
    }
  });
  expect(bad == 0, std::to_string(bad) + " results differ from those of a single thread");
}

// What is kept no longer ends without the lock of what is kept: it gives back memory, which takes others.
void check_what_is_dropped() {
  static bool free = true;
  struct Made {
    ~Made() {
      const auto ask = [] { return std::unique_lock<std::mutex>(fork_lock(), std::try_to_lock).owns_lock(); };
      free = free && std::async(std::launch::async, ask).get();
    }
  };
  Kept<Made> kept;
  for (int64_t i = 0; i < 40; ++i) kept.get(RecipeKey().add(i), [] { return std::make_shared<const Made>(); });
  expect(free, "what is kept no longer ends without the lock");
}

void check_making_and_dropping() {
  const WeightedFilter model(3, 8);
  const Results expected = run_and_differentiate(Compiled(WeightedFilter::bytes()), model, 1);
  std::atomic<int> bad{0};
  together([&](int) {
    for (int round = 0; round < kRounds; ++round)
      if (!(run_and_differentiate(Compiled(WeightedFilter::bytes()), model, 2) == expected)) ++bad;
  });
  expect(bad == 0, std::to_string(bad) + " results of programs made meanwhile differ");
}

// Counts the calls of each run on its own, as Python functions have arrays of their run's own.
struct Doubler : Callbacks {
  struct Run : CallbackRun {
    Run(Doubler* table, int64_t sites) : table(table), calls(sites) {}
    ~Run() override {
      for (int64_t n : calls) table->calls += n;
    }
    void call(const CallbackSite& site, int64_t, double, const void* const* in, void* const* out) override {
      ++calls.at(site.number);
      static_cast<double*>(out[0])[0] = 2 * static_cast<const double*>(in[0])[0];
    }
    Doubler* table;
    std::vector<int64_t> calls;
  };
  std::unique_ptr<CallbackRun> start(int64_t sites) override { return std::make_unique<Run>(this, sites); }
  std::atomic<int64_t> calls{0};
};

std::string calling_program(int64_t functions) {
  using namespace program_bytes;
  Parts p;
  p.buffers = {buffer("window", functions + 1)};
  p.inputs = {port(1)}, p.outputs = {port(1)};
  p.window = 1;
  const Entries first = {{"index", integer(0)}};
  std::vector<std::string> ops = {op("input", {{"dst", Slice{0, {1}}}}, first)};
  for (int64_t i = 0; i < functions; ++i)
    ops.push_back(op("callback", {{"in0", Slice{0, {1}, {i}}}, {"out0", Slice{0, {1}, {i + 1}}}}, first));
  ops.push_back(op("output", {{"src", Slice{0, {1}, {functions}}}}, first));
  p.regions = {region("loop", ops)};
  return program(p);
}

void check_callbacks() {
  constexpr int64_t kFunctions = 3, kSteps = 50;
  const Compiled compiled(calling_program(kFunctions));
  Doubler table;
  std::atomic<int> bad{0};
  together([&](int number) {
    for (int round = 0; round < kRounds; ++round) {
      std::vector<double> input(kSteps, number + 1), output(kSteps), state(1);
      RunArgs<double> args;
      args.n_steps = kSteps, args.callbacks = &table;
      args.inputs = {input.data()}, args.outputs = {output.data()}, args.keep_last = {0};
      args.state = state.data();
      if (compiled.run(args).steps != kSteps) ++bad;
      for (double v : output) bad += v != 8.0 * (number + 1);
    }
  });
  expect(bad == 0, std::to_string(bad) + " values of callbacks are wrong");
  expect(table.calls == kThreads * kRounds * kFunctions * kSteps, "every call was counted by its run");
}

// A filter of a product of all that it put out in the step before: threads share out rows of the product, each needs
// what the others have made.
struct Recurrent {
  static constexpr int64_t kSize = 400, kSteps = 800;
  std::vector<double> weights, state, output;

  Recurrent() : weights(kSize * kSize), state(kSize), output(kSize * kSteps) {
    for (int64_t i = 0; i < kSize * kSize; ++i) weights[i] = (i * 7 % 11 - 5) / 400.0;
    for (int64_t i = 0; i < kSize; ++i) state[i] = i % 3;
  }

  static std::string bytes() {
    using namespace program_bytes;
    Parts p;
    p.buffers = {buffer("param", kSize * kSize, 0), buffer("local", kSize), buffer("carried", kSize, -1, 0)};
    p.params = {param(kSize * kSize)};
    p.outputs = {port(kSize)};
    p.state_size = kSize;
    const Slice a{0, {kSize, kSize}}, y{1, {kSize}}, before{2, {kSize}}, now{2, {kSize}, {0}, 1};
    const Entries set = {{"set", integer(1)}}, first = {{"index", integer(0)}};
    p.regions = {region("loop", {op("dense", {{"A", a}, {"X", before}, {"Y", y}}, set),
                                 op("lowpass", {{"x", y}, {"y", now}}, {{"a", number(0.75)}, {"b", number(0.25)}})}),
                 region("sequence", {op("output", {{"src", now}}, first)})};
    return program(p);
  }

  void run(const Compiled& compiled, int threads) {
    RunArgs<double> args;
    args.batch = 1, args.n_steps = kSteps, args.threads = threads;
    args.params = {weights.data()}, args.outputs = {output.data()}, args.keep_last = {0};
    args.state = state.data();
    compiled.run(args);
  }
};

void check_shared_out_loops() {
  const Compiled compiled(Recurrent::bytes());
  Recurrent expected;
  expected.run(compiled, 1);
  expect(expected.output.back() != 0, "the product has come to nothing");
  for (int threads : {2, 3}) {
    bool waits = false;
    for (const auto& ops : compiled.divided(threads)) waits = waits || (ops.region == 0 && ops.how == "islands");
    expect(waits, "the rows of the product are not shared out");
    for (int round = 0; round < 3; ++round) {
      Recurrent got;
      got.run(compiled, threads);
      expect(got.output == expected.output && got.state == expected.state, "shared out, results differ");
    }
  }
}

}  // namespace

int main() {
  check_shared_out_loops();
  check_one_program();
  check_making_and_dropping();
  check_what_is_dropped();
  check_callbacks();
  return failures != 0;
}
