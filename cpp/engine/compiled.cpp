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

// All items do a slab of steps before any starts the next, so that a run can stop with all of them at one step.
class Slabs {
 public:
  // A slab is a multiple of `unit` steps.
  Slabs(double time_limit, const std::atomic<bool>* cancel, int64_t n_steps, int64_t unit)
      : limit_(time_limit), cancel_(cancel), unit_(unit), size_(time_limit > 0 || cancel ? unit : n_steps) {}

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
    size_ = std::max<int64_t>(unit_, static_cast<int64_t>(fit) / unit_ * unit_);
  }

 private:
  double limit_;
  const std::atomic<bool>* cancel_;
  int64_t unit_, size_;
  Clock::time_point start_ = Clock::now(), slab_start_;
};

// Runs all groups, slab by slab.
template <class T>
RunResult run_groups(const Program& program, const Plan<T>& plan, const RunArgs<T>& args, const Layout& layout,
                     int threads, const Recording* recording) {
  RunResult result{0, nullptr};
  const int64_t groups = layout.groups(args.batch);
  threads = static_cast<int>(std::min<int64_t>(threads, groups));
  std::vector<std::unique_ptr<Worker<T>>> workers;
  for (int i = 0; i < threads; ++i)
    workers.push_back(std::make_unique<Worker<T>>(program, plan, args, layout, recording));
  Slabs slabs(args.time_limit, args.cancel, args.n_steps, recording ? layout.window : 1);
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

uint64_t fingerprint_of(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace

template <class T>
void check_args(const Program& p, const RunArgs<T>& a, int64_t functions, bool with_outputs) {
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
  if (with_outputs) count(a.outputs.size(), p.outputs.size(), "outputs");
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

template <class T>
RunResult run_plan(const Program& program, const Plan<T>& plan, const RunArgs<T>& args) {
  check_args(program, args, plan.functions, true);
  if (args.tape)
    return record_plan(program, plan, args,
                       full_tape(program, plan, args.batch, args.n_steps, args.first_step, args.record), true);
  if (args.n_steps == 0) return {0, nullptr};
  const int threads = thread_count(args, plan.work, plan.has_callbacks);
  const Layout layout(program, args.batch, args.n_steps, threads, plan.has_callbacks, sizeof(T));
  return run_groups(program, plan, args, layout, threads, nullptr);
}

template <class T>
RunResult record_plan(const Program& program, const Plan<T>& plan, const RunArgs<T>& args, const TapeLayout& tape,
                      bool write_outputs) {
  if (reinterpret_cast<uintptr_t>(args.tape) % kTapeStartAlign != 0)
    throw std::invalid_argument("run: the tape is not aligned to " + std::to_string(kTapeStartAlign) + " bytes");
  tape.write_header(args.tape, 0);
  RunResult result{0, nullptr};
  if (args.n_steps > 0) {
    const Recording recording{tape, args.tape, write_outputs};
    const Layout layout(program, tape, true);
    const int threads = thread_count(args, plan.work, plan.has_callbacks);
    result = run_groups(program, plan, args, layout, threads, &recording);
  }
  tape.write_header(args.tape, result.steps);
  return result;
}

template <class T>
TapeLayout full_tape(const Program& program, const Plan<T>& plan, int64_t batch, int64_t n_steps, int64_t first_step,
                     const TapeOptions& options) {
  Wishes all;
  all.inputs.assign(program.inputs.size(), 1), all.outputs.assign(program.outputs.size(), 1);
  all.params = options.wanted_params, all.learned.assign(program.params.size(), 1);
  if (all.params.empty()) all.params.assign(program.params.size(), 1);
  all.state_wanted = all.state_given = true;
  if (all.params.size() != program.params.size())
    throw std::invalid_argument(std::to_string(all.params.size()) + " values of wanted_params, the program has " +
                                std::to_string(program.params.size()) + " parameters");
  return TapeLayout(program, plan.flow, find_activity(program, plan.flow, all), batch, n_steps, first_step, options,
                    plan.has_callbacks, plan.fingerprint);
}

template <class T>
Plan<T>::Plan(const Program& program, uint64_t fingerprint) : flow(program), fingerprint(fingerprint) {
  std::vector<int64_t> changed;  // in running order
  for (size_t r = 0; r < program.regions.size(); ++r) {
    stages.push_back({program.regions[r].kind == RegionKind::loop, {}});
    for (FlowOp& op : flow.stages[r]) {
      stages.back().ops.push_back(compile(op, program));
      for (const FlowOperand& o : op.operands) {
        work += static_cast<double>(o.operand->count()) * static_cast<double>(op.record->blocks);
        if (o.written() && o.in_place) changed.push_back(o.operand->buffer);
      }
      if (op.record->kind == "callback") {
        has_callbacks = true, undo = changed;
        functions = std::max(functions, op.record->integer("index") + 1);
      }
    }
  }
  std::sort(undo.begin(), undo.end());
  undo.erase(std::unique(undo.begin(), undo.end()), undo.end());
}

template <class T>
std::unique_ptr<Op<T>> Plan<T>::compile(FlowOp& op, const Program& program) {
  const OpSpec& spec = find_op(op.record->kind);
  const OpRecord record = Flow::shifted(op);
  std::unique_ptr<Op<T>> compiled;
  if constexpr (sizeof(T) == 4)
    compiled = spec.make32(record, program);
  else
    compiled = spec.make64(record, program);
  op.passes = compiled->passes_gradient();
  for (const std::string& name : compiled->grad_reads())
    for (FlowOperand& o : op.operands)
      o.needed = o.needed || (*o.name == name && program.buffers[o.operand->buffer].kind != BufferKind::param);
  return compiled;
}

template int thread_count(const RunArgs<float>&, double, bool);
template int thread_count(const RunArgs<double>&, double, bool);
template void check_args(const Program&, const RunArgs<float>&, int64_t, bool);
template void check_args(const Program&, const RunArgs<double>&, int64_t, bool);
template RunResult record_plan(const Program&, const Plan<float>&, const RunArgs<float>&, const TapeLayout&, bool);
template RunResult record_plan(const Program&, const Plan<double>&, const RunArgs<double>&, const TapeLayout&, bool);
template TapeLayout full_tape(const Program&, const Plan<float>&, int64_t, int64_t, int64_t, const TapeOptions&);
template TapeLayout full_tape(const Program&, const Plan<double>&, int64_t, int64_t, int64_t, const TapeOptions&);

struct Compiled::Impl {
  Program program;
  std::unique_ptr<Plan<float>> plan32;
  std::unique_ptr<Plan<double>> plan64;
};

Compiled::Compiled(std::string_view bytes) : impl_(new Impl{read_program(bytes), nullptr, nullptr}) {
  current_isa();  // a bad NENGO_DL_ISA is reported here even if no op asks for a kernel
  if (impl_->program.float64)
    impl_->plan64 = std::make_unique<Plan<double>>(impl_->program, fingerprint_of(bytes));
  else
    impl_->plan32 = std::make_unique<Plan<float>>(impl_->program, fingerprint_of(bytes));
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

int64_t Compiled::tape_bytes(int64_t batch, int64_t n_steps, const TapeOptions& options) const {
  if (batch < 1 || n_steps < 0)
    throw std::invalid_argument("tape_bytes: batch and n_steps are " + std::to_string(batch) + " and " +
                                std::to_string(n_steps) + ", at least 1 and 0 were due");
  const Program& p = impl_->program;
  return impl_->plan64 ? full_tape(p, *impl_->plan64, batch, n_steps, 0, options).bytes
                       : full_tape(p, *impl_->plan32, batch, n_steps, 0, options).bytes;
}

void Compiled::grad(const GradArgs<float>& args) const {
  if (!impl_->plan32) throw std::logic_error("grad: float32 arguments, but the program is float64");
  grad_plan(impl_->program, *impl_->plan32, args);
}

void Compiled::grad(const GradArgs<double>& args) const {
  if (!impl_->plan64) throw std::logic_error("grad: float64 arguments, but the program is float32");
  grad_plan(impl_->program, *impl_->plan64, args);
}

}  // namespace nengo_dl
