#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "engine/executor.h"
#include "engine/isa.h"
#include "engine/validate.h"

namespace nengo_dl {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

template <class T>
void check_args(const Program& p, const RunArgs<T>& a, int64_t functions) {
  auto need = [](bool good, const std::string& message) {
    if (!good) throw std::invalid_argument("run: " + message);
  };
  auto count = [&](size_t came, size_t due, const char* what) {
    need(came == due, std::to_string(came) + " " + what + ", the program has " + std::to_string(due));
  };
  need(a.batch >= 1, "batch is " + std::to_string(a.batch) + ", at least 1 was due");
  need(a.n_steps >= 0, "n_steps is " + std::to_string(a.n_steps) + ", 0 or more was due");
  need(a.first_step >= 0, "first_step is " + std::to_string(a.first_step) + ", 0 or more was due");
  count(a.inputs.size(), p.inputs.size(), "inputs");
  count(a.params.size(), p.params.size(), "parameters");
  count(a.outputs.size(), p.outputs.size(), "outputs");
  count(a.keep_last.size(), p.outputs.size(), "values of keep_last");
  need(a.state || !p.state_size, "state is missing");
  need(a.istate || !p.istate_size, "istate is missing");
  need(a.callbacks || functions == 0, "the program calls Python functions, but no callbacks were given");
  need(functions == 0 || functions <= a.callbacks->size(),
       "the program calls " + std::to_string(functions) + " Python functions, the callbacks given have fewer");
}

template <class T>
int thread_count(const RunArgs<T>& a, double work, bool has_callbacks) {
  constexpr double kWorth = 4e6;  // elements: about a millisecond
  if (has_callbacks) return 1;
  int threads = a.threads;
  if (threads <= 0) {
    const double total = work * static_cast<double>(a.batch) * static_cast<double>(a.n_steps);
    threads = total < kWorth ? 1 : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  }
  return static_cast<int>(std::min<int64_t>({threads, a.batch, 1024}));
}

// All items do a slab of steps before any starts the next, so that a run can stop with all of them at one step.
class Slabs {
 public:
  Slabs(double time_limit, const std::atomic<bool>* cancel, int64_t n_steps)
      : limit_(time_limit), cancel_(cancel), size_(time_limit > 0 || cancel ? 1 : n_steps) {}

  bool stop(int64_t done) const {
    if (cancel_ && cancel_->load(std::memory_order_relaxed)) return true;
    return limit_ > 0 && done > 0 && seconds_since(start_) >= limit_;
  }
  int64_t next(int64_t left) {
    slab_start_ = Clock::now();
    return std::min(size_, left);
  }
  void took(int64_t steps) {
    constexpr double kDue = 0.03;
    if (!(limit_ > 0 || cancel_)) return;
    const double per_step = std::max(seconds_since(slab_start_), 1e-9) / static_cast<double>(steps);
    const double fit = std::min(kDue / per_step, 16.0 * static_cast<double>(size_));  // one slow step must not decide
    size_ = std::max<int64_t>(1, static_cast<int64_t>(fit));
  }

 private:
  double limit_;
  const std::atomic<bool>* cancel_;
  int64_t size_;
  Clock::time_point start_ = Clock::now(), slab_start_;
};

template <class T>
RunResult run_plan(const Program& program, const Plan<T>& plan, const RunArgs<T>& args) {
  check_args(program, args, plan.functions);
  RunResult result{0, nullptr};
  if (args.n_steps == 0) return result;
  int threads = thread_count(args, plan.work, plan.has_callbacks);
  const Layout layout(program, args.batch, args.n_steps, threads, plan.has_callbacks, sizeof(T));
  const int64_t groups = layout.groups(args.batch);
  threads = static_cast<int>(std::min<int64_t>(threads, groups));

  std::vector<std::unique_ptr<Worker<T>>> workers;
  for (int i = 0; i < threads; ++i) workers.push_back(std::make_unique<Worker<T>>(program, plan, args, layout));
  Slabs slabs(args.time_limit, args.cancel, args.n_steps);
  std::atomic<int64_t> next_group{0};
  int64_t steps = 0, complete = 0;
  Team team(threads, [&](int number) {
    for (int64_t g; (g = next_group.fetch_add(1)) < groups;) {
      const int64_t did = workers[number]->run(g, result.steps, steps, &result.error);
      if (g == 0) complete = did;  // they differ only with callbacks, and then there is one group
    }
  });
  while (result.steps < args.n_steps && !result.error && !slabs.stop(result.steps)) {
    steps = slabs.next(args.n_steps - result.steps);
    next_group = 0;
    team.run();
    slabs.took(steps);
    result.steps += complete;
  }
  return result;
}

}  // namespace

template <class T>
Plan<T>::Plan(const Program& program) {
  std::vector<int64_t> changed;  // in running order
  for (const Region& region : program.regions) {
    stages.push_back({region.kind == RegionKind::loop, {}});
    for (const OpRecord& op : region.ops) {
      const OpSpec& spec = find_op(op.kind);
      if constexpr (sizeof(T) == 4)
        stages.back().ops.push_back(spec.make32(op, program));
      else
        stages.back().ops.push_back(spec.make64(op, program));
      for (const auto& [name, o] : op.args) {
        work += static_cast<double>(o.count()) * static_cast<double>(op.blocks);
        const BufferKind kind = program.buffers[o.buffer].kind;
        if (find_arg_spec(spec, name)->access != Access::read &&
            (kind == BufferKind::state || kind == BufferKind::learned))
          changed.push_back(o.buffer);
      }
      if (op.kind == "callback") {
        has_callbacks = true, undo = changed;
        functions = std::max(functions, op.integer("index") + 1);
      }
    }
  }
  std::sort(undo.begin(), undo.end());
  undo.erase(std::unique(undo.begin(), undo.end()), undo.end());
}

struct Compiled::Impl {
  Program program;
  std::unique_ptr<Plan<float>> plan32;
  std::unique_ptr<Plan<double>> plan64;
};

Compiled::Compiled(std::string_view bytes) : impl_(new Impl{read_program(bytes), nullptr, nullptr}) {
  current_isa();  // a bad NENGO_DL_ISA is reported here even if no op asks for a kernel
  if (impl_->program.float64)
    impl_->plan64 = std::make_unique<Plan<double>>(impl_->program);
  else
    impl_->plan32 = std::make_unique<Plan<float>>(impl_->program);
}

Compiled::~Compiled() = default;

const Program& Compiled::program() const { return impl_->program; }

RunResult Compiled::run(const RunArgs<float>& args) const {
  if (!impl_->plan32) throw std::logic_error("run: float32 arguments, but the program is float64");
  return run_plan(impl_->program, *impl_->plan32, args);
}

RunResult Compiled::run(const RunArgs<double>& args) const {
  if (!impl_->plan64) throw std::logic_error("run: float64 arguments, but the program is float32");
  return run_plan(impl_->program, *impl_->plan64, args);
}

}  // namespace nengo_dl
