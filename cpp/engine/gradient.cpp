// The gradient of a run: which adjoints, whose values, on which threads.
#include <algorithm>
#include <stdexcept>

#include "engine/backward.h"

namespace nengo_dl {
namespace {

void need(bool good, const std::string& message) {
  if (!good) throw std::invalid_argument("grad: " + message);
}

template <class T>
void check_grad_args(const Program& p, const Plan<T>& plan, const GradArgs<T>& a) {
  check_args(p, a.run, a.tape ? 0 : plan.functions, false);
  auto count = [](size_t came, size_t due, const char* what) {
    need(came == due, std::to_string(came) + " " + what + ", the program has " + std::to_string(due));
  };
  count(a.output_grads.size(), p.outputs.size(), "derivatives by outputs");
  count(a.learned_grads.size(), p.params.size(), "derivatives by learned parameters");
  count(a.input_grads.size(), p.inputs.size(), "gradients of inputs");
  count(a.param_grads.size(), p.params.size(), "gradients of parameters");
  for (size_t i = 0; i < p.params.size(); ++i)
    need(p.params[i].learned || !a.learned_grads[i],
         "a derivative by parameter '" + p.params[i].name + "' after the run, which no run changes");
  const std::vector<char>& wanted = a.run.record.wanted_params;
  for (size_t i = 0; a.tape && i < wanted.size() && i < p.params.size(); ++i)
    need(wanted[i] || !a.param_grads[i],
         "the gradient of parameter '" + p.params[i].name + "' is asked for, but the tape was recorded without it");
  need(a.tape || !plan.has_callbacks,
       "the program calls Python functions, which can't be run again: record the run on a tape");
}

template <class T>
Wishes wishes_of(const Program& p, const GradArgs<T>& a) {
  Wishes w;
  for (const T* g : a.input_grads) w.inputs.push_back(g != nullptr);
  for (const T* g : a.param_grads) w.params.push_back(g != nullptr);
  for (const T* g : a.output_grads) w.outputs.push_back(g != nullptr && a.run.n_steps > 0);
  for (const T* g : a.learned_grads) w.learned.push_back(g != nullptr);
  w.state_wanted = a.state_grad != nullptr && p.state_size > 0, w.state_given = a.state_out_grad != nullptr;
  return w;
}

// Copies of what a run changes, so that it can be made again.
template <class T>
struct Scratch {
  RunArgs<T> args;
  Memory<T> state;
  Memory<int32_t> istate;
  std::vector<Memory<T>> learned;

  Scratch(const Program& p, const RunArgs<T>& run)
      : args(run),
        state(filled(run.state, run.batch * p.state_size)),
        istate(filled(run.istate, run.batch * p.istate_size)) {
    args.state = state.get(), args.istate = istate.get();
    args.outputs.clear(), args.tape = nullptr, args.time_limit = 0;
    for (size_t i = 0; i < p.params.size(); ++i) {
      if (!p.params[i].learned) continue;
      learned.push_back(filled(run.params[i], run.batch * p.params[i].size));
      args.params[i] = learned.back().get();
    }
  }

 private:
  template <class U>
  static Memory<U> filled(const U* from, int64_t count) {
    Memory<U> memory = allocate<U>(count, false);
    std::copy_n(from, count, memory.get());
    return memory;
  }
};

// Places where the gradients of parameters are added up: several, each for fixed groups, so that sums do not depend on
// the number of threads. The first is what the caller gave.
template <class T>
class Accumulators {
 public:
  Accumulators(const Program& p, const Activity& activity, const GradArgs<T>& a, int64_t count) {
    std::vector<char> used(p.params.size(), 0);
    for (size_t i = 0; i < p.buffers.size(); ++i)
      if (p.buffers[i].kind == BufferKind::param && activity.active[i]) used[p.buffers[i].param] = 1;
    places_.assign(count, std::vector<T*>(p.params.size(), nullptr));
    for (size_t i = 0; i < p.params.size(); ++i) {
      if (!a.param_grads[i] || p.params[i].learned) continue;
      std::fill_n(a.param_grads[i], p.params[i].size, T(0));
      if (!used[i]) continue;
      places_[0][i] = a.param_grads[i];
      sizes_.emplace_back(i, p.params[i].size);
      for (int64_t k = 1; k < count; ++k) {
        memory_.push_back(allocate<T>(p.params[i].size));
        places_[k][i] = memory_.back().get();
      }
    }
  }
  const std::vector<T*>& at(int64_t k) const { return places_[k]; }
  void sum() {
    for (size_t k = 1; k < places_.size(); ++k)
      for (const auto& [i, size] : sizes_)
        for (int64_t e = 0; e < size; ++e) places_[0][i][e] += places_[k][i][e];
  }

 private:
  std::vector<std::vector<T*>> places_;
  std::vector<std::pair<size_t, int64_t>> sizes_;
  std::vector<Memory<T>> memory_;
};

// Where no derivative flows, the gradient of a learned parameter is what was given, or zero.
template <class T>
void fill_learned(const Program& p, const GradArgs<T>& a) {
  for (size_t i = 0; i < p.params.size(); ++i) {
    if (!p.params[i].learned || !a.param_grads[i]) continue;
    const int64_t size = a.run.batch * p.params[i].size;
    if (a.learned_grads[i])
      std::copy_n(a.learned_grads[i], size, a.param_grads[i]);
    else
      std::fill_n(a.param_grads[i], size, T(0));
  }
}

struct Cancelled : std::runtime_error {
  Cancelled() : std::runtime_error("grad: cancelled") {}
};

template <class T>
void go_back(const Program& program, const Plan<T>& plan, const GradArgs<T>& args, const Activity& activity,
             const TapeLayout& tape, const char* recorded, const RunArgs<T>& scratch) {
  const BackPlan<T> back(program, plan, activity, tape, args);
  const bool replays = tape.first_kept > 0;
  const Layout memory = replays ? Layout(program, tape, false) : Layout();
  const int64_t chunks = tape.geometry.accumulators, groups = tape.geometry.groups;
  Accumulators<T> sums(program, activity, args, chunks);
  int threads = thread_count(args.run, 3 * plan.work, plan.has_callbacks);
  threads = static_cast<int>(std::min<int64_t>(threads, chunks));
  std::vector<std::unique_ptr<Backward<T>>> workers;
  for (int i = 0; i < threads; ++i)
    workers.push_back(
        std::make_unique<Backward<T>>(program, plan, back, args, recorded, tape, scratch, replays ? &memory : nullptr));
  std::atomic<int64_t> next{0};
  std::atomic<bool> cancelled{false};
  Team team(threads, [&](int number) {
    for (int64_t k; (k = next.fetch_add(1)) < chunks;)
      for (int64_t g = k * groups / chunks; g < (k + 1) * groups / chunks; ++g)
        if (cancelled || !workers[number]->run(g, sums.at(k))) cancelled = true;
  });
  team.run();
  if (cancelled) throw Cancelled();
  sums.sum();
}

}  // namespace

template <class T>
void grad_plan(const Program& program, const Plan<T>& plan, const GradArgs<T>& args) {
  check_grad_args(program, plan, args);
  const RunArgs<T>& run = args.run;
  const Activity activity = find_activity(program, plan.flow, wishes_of(program, args));
  fill_learned(program, args);
  if (args.tape) {
    const TapeLayout tape = full_tape(program, plan, run.batch, run.n_steps, run.first_step, run.record);
    need(reinterpret_cast<uintptr_t>(args.tape) % kTapeStartAlign == 0,
         "the tape is not aligned to " + std::to_string(kTapeStartAlign) + " bytes");
    tape.check(args.tape, run.n_steps);
    if (tape.first_kept == 0) return go_back(program, plan, args, activity, tape, args.tape, run);
    const Scratch<T> scratch(program, run);
    return go_back(program, plan, args, activity, tape, args.tape, scratch.args);
  }
  const TapeLayout tape(program, plan.flow, activity, run.batch, run.n_steps, run.first_step, run.record,
                        plan.has_callbacks, plan.fingerprint);
  const Memory<char> recorded = allocate<char>(tape.bytes, false);
  Scratch<T> scratch(program, run);
  scratch.args.tape = recorded.get();
  if (record_plan(program, plan, scratch.args, tape, false).steps < run.n_steps) throw Cancelled();
  go_back(program, plan, args, activity, tape, recorded.get(), scratch.args);
}

template void grad_plan(const Program&, const Plan<float>&, const GradArgs<float>&);
template void grad_plan(const Program&, const Plan<double>&, const GradArgs<double>&);

}  // namespace nengo_dl
