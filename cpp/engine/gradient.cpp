// The gradient of a run: which adjoints, whose values, on which threads.
#include <algorithm>
#include <stdexcept>

#include "engine/pool.h"
#include "engine/resident.h"
#include "engine/run.h"
#include "engine/turned.h"

namespace nengo_dl {
namespace {

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument("grad: " + message); }

template <class T>
void check_grad_args(const Facts& facts, const GradArgs<T>& a) {
  const Program& p = facts.program;
  check_args(p, a.run, a.tape ? 0 : facts.functions, false);
  const auto count = [](const char* what, size_t expected, size_t got) {
    if (got != expected)
      fail(std::string(what) + ": expected " + std::to_string(expected) + ", as the program has, got " +
           std::to_string(got));
  };
  count("derivatives by outputs", p.outputs.size(), a.output_grads.size());
  count("derivatives by learned parameters", p.params.size(), a.learned_grads.size());
  count("gradients of inputs", p.inputs.size(), a.input_grads.size());
  count("gradients of parameters", p.params.size(), a.param_grads.size());
  for (size_t i = 0; i < p.params.size(); ++i)
    if (!p.params[i].learned && a.learned_grads[i])
      fail("a derivative by parameter '" + p.params[i].name + "' after the run, which no run changes");
  const std::vector<char>& wanted = a.run.record.wanted_params;
  for (size_t i = 0; a.tape && i < wanted.size() && i < p.params.size(); ++i)
    if (!wanted[i] && a.param_grads[i])
      fail("the gradient of parameter '" + p.params[i].name + "' is asked for, but the tape was recorded without it");
  if (!a.tape && facts.calls_python)
    fail("the program calls Python functions, which can't be run again: record the run on a tape");
}

// Copies of what a run changes, so that it can be made again.
template <class T>
struct Scratch {
  RunArgs<T> args;
  Memory<T> state;
  Memory<int32_t> istate;
  std::vector<Memory<T>> learned;

  Scratch(Space& space, const Program& p, const RunArgs<T>& run)
      : args(run),
        state(filled(space, run.state, run.batch * p.state_size)),
        istate(filled(space, run.istate, run.batch * p.istate_size)) {
    args.state = state.get(), args.istate = istate.get();
    args.outputs.clear(), args.tape = nullptr, args.time_limit = 0;
    for (size_t i = 0; i < p.params.size(); ++i) {
      if (!p.params[i].learned) continue;
      learned.push_back(filled(space, run.params[i], run.batch * p.params[i].size));
      args.params[i] = learned.back().get();
    }
  }

 private:
  template <class U>
  static Memory<U> filled(Space& space, const U* from, int64_t count) {
    Memory<U> memory = allocate<U>(space, count);
    space.copy(from, memory.get(), count);
    return memory;
  }
};

// Places where the gradients of parameters are added up: several, each for fixed groups, so that sums do not depend on
// the number of threads. The first is what the caller gave.
template <class T>
class Accumulators {
 public:
  Accumulators(Space& space, const Program& p, const Activity& activity, const GradArgs<T>& a, int64_t count)
      : space_(space), program_(p) {
    std::vector<char> used(p.params.size(), 0);
    for (size_t i = 0; i < p.buffers.size(); ++i)
      if (p.buffers[i].kind == BufferKind::param && activity.active[i]) used[p.buffers[i].param] = 1;
    places_.assign(count, std::vector<T*>(p.params.size(), nullptr));
    for (size_t i = 0; i < p.params.size(); ++i) {
      if (!a.param_grads[i] || p.params[i].learned) continue;
      if (!used[i]) {
        space.clear(a.param_grads[i], p.params[i].size);
        continue;
      }
      places_[0][i] = a.param_grads[i];
      summed_.push_back(i);
      for (int64_t k = 1; k < count; ++k) {
        memory_.push_back(allocate<T>(space, p.params[i].size));
        places_[k][i] = memory_.back().get();
      }
    }
  }
  // A place, empty: of the thread that fills it, in whose cache it lies then.
  const std::vector<T*>& start(int64_t k) const {
    for (size_t i : summed_) space_.clear(places_[k][i], program_.params[i].size);
    return places_[k];
  }
  // Adds all places up, element by element in their order: on threads that take one piece after the other.
  void sum(int threads) const {
    constexpr int64_t kPiece = 4096;  // elements: what is added to stays in the nearest cache
    if (places_.size() < 2) return;
    std::vector<std::pair<size_t, int64_t>> pieces;  // parameter, first element
    for (size_t i : summed_)
      for (int64_t first = 0; first < program_.params[i].size; first += kPiece) pieces.emplace_back(i, first);
    std::atomic<size_t> next{0};
    const auto work = [&](int, Team&) {
      for (size_t n; (n = next.fetch_add(1)) < pieces.size();) {
        const auto [i, first] = pieces[n];
        const int64_t count = std::min(kPiece, program_.params[i].size - first);
        for (size_t k = 1; k < places_.size(); ++k) space_.add(places_[k][i] + first, places_[0][i] + first, count);
      }
    };
    run_together(static_cast<int>(std::min<size_t>(threads, 1 + pieces.size() / 16)), work);
  }

 private:
  Space& space_;
  const Program& program_;
  std::vector<std::vector<T*>> places_;
  std::vector<size_t> summed_;  // parameters
  std::vector<Memory<T>> memory_;
};

// Where no derivative flows, the gradient of a learned parameter is what was given, or zero.
template <class T>
void fill_learned(Space& space, const Program& p, const GradArgs<T>& a) {
  for (size_t i = 0; i < p.params.size(); ++i) {
    if (!p.params[i].learned || !a.param_grads[i]) continue;
    const int64_t size = a.run.batch * p.params[i].size;
    if (a.learned_grads[i])
      space.copy(a.learned_grads[i], a.param_grads[i], size);
    else
      space.clear(a.param_grads[i], size);
  }
}

// Those of the run that was recorded; without a tape they are sent.
template <class T>
SentParams params_of(const Runnable<T>& r, const GradArgs<T>& a) {
  if (!a.tape) return r.params.send(a.run, [&a](size_t i) { return a.param_grads[i] != nullptr; });
  const size_t expected = r.schedule.space().on_host() || a.run.there ? 0 : a.param_grads.size();
  if (a.tape->params.size() != expected)
    fail("the tape: expected one of this backend, got one that another recorded, or from arguments in other memory");
  return a.tape->params;
}

template <class T>
void go_back(const Runnable<T>& r, const GradArgs<T>& args, const GradRecipe<T>& recipe, const char* recorded,
             const RunArgs<T>& scratch) {
  const TapeLayout& tape = recipe.record->tape;
  const Layout* replay = tape.first_kept > 0 ? &recipe.record->replay : nullptr;
  const int64_t chunks = tape.geometry.accumulators, groups = tape.groups;
  Accumulators<T> sums(r.schedule.space(), r.facts.program, recipe.activity, args, chunks);
  int threads = thread_count(args.run, 3 * r.facts.work, r.facts.calls_python);
  threads = static_cast<int>(std::min<int64_t>(threads, chunks));
  std::vector<std::unique_ptr<Backward<T>>> workers;
  for (int i = 0; i < threads; ++i)
    workers.push_back(std::make_unique<Backward<T>>(r.schedule, recipe.back, args, recorded, tape, scratch, replay));
  if (args.tape) r.schedule.space().begin_work();  // else the run that was recorded for it has begun
  std::atomic<int64_t> next{0};
  std::atomic<bool> cancelled{false};
  run_together(threads, [&](int number, Team&) {
    for (int64_t k; (k = next.fetch_add(1)) < chunks;) {
      const std::vector<T*>& params = sums.start(k);
      for (int64_t g = k * groups / chunks; g < (k + 1) * groups / chunks; ++g)
        if (cancelled || !workers[number]->run(g, params)) cancelled = true;
    }
  });
  if (cancelled) throw Cancelled();
  sums.sum(threads);
  r.schedule.space().end_work();
}

}  // namespace

template <class T>
void differentiate(const Runnable<T>& r, const GradArgs<T>& host_args) {
  const Program& program = r.facts.program;
  Space& space = r.schedule.space();
  check_grad_args(r.facts, host_args);
  const std::shared_ptr<const GradRecipe<T>> recipe = r.recipes.grad(host_args);
  const TapeLayout& tape = recipe->record->tape;
  if (host_args.tape) tape.check(*host_args.tape, host_args.run.first_step, host_args.run.n_steps);
  const ResidentGrad<T> resident(space, program, host_args, params_of(r, host_args));
  const TurnedGrad<T> turned(space, program, resident.args());
  const GradArgs<T>& args = turned.args();
  fill_learned(space, program, args);
  if (args.tape) {
    const char* recorded = static_cast<const char*>(args.tape->memory);
    if (tape.first_kept == 0) {
      go_back(r, args, *recipe, recorded, args.run);
    } else {
      const Scratch<T> scratch(space, program, args.run);
      go_back(r, args, *recipe, recorded, scratch.args);
    }
  } else {
    const Memory<char> recorded = allocate<char>(space, tape.bytes);
    Tape own{recorded.get(), tape.bytes, {}};
    Scratch<T> scratch(space, program, args.run);
    scratch.args.tape = &own;
    if (record_run(r, scratch.args, *recipe->record, false).cancelled) throw Cancelled();
    go_back(r, args, *recipe, recorded.get(), scratch.args);
  }
  turned.bring_back();
  resident.bring_back();
}

template void differentiate(const Runnable<float>&, const GradArgs<float>&);
template void differentiate(const Runnable<double>&, const GradArgs<double>&);

}  // namespace nengo_dl
