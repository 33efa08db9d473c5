// Runs of a program: checks the arguments, shares the groups out among threads, stops in time.
#include "engine/run.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <new>
#include <stdexcept>
#include <thread>
#include <utility>

#include "engine/pool.h"
#include "engine/resident.h"
#include "engine/scratch.h"
#include "engine/turned.h"

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

  bool cancelled() const { return cancel_ && cancel_->load(std::memory_order_relaxed); }
  bool late(int64_t done) const { return limit_ > 0 && done > 0 && seconds_since(start_) >= limit_; }
  int64_t next(int64_t left) {
    slab_start_ = Clock::now();
    return std::min(size_, left);
  }
  void finished(int64_t steps) {
    constexpr double kSeconds = 0.03;  // between looks at the clock
    if (!(limit_ > 0 || cancel_)) return;
    const double per_step = std::max(seconds_since(slab_start_), 1e-9) / static_cast<double>(steps);
    const double fit =
        std::min(kSeconds / per_step, 16.0 * static_cast<double>(size_));  // one slow step must not decide
    size_ = std::max<int64_t>(unit_, static_cast<int64_t>(fit) / unit_ * unit_);
  }

 private:
  double limit_;
  const std::atomic<bool>* cancel_;
  int64_t unit_, size_;
  Clock::time_point start_ = Clock::now(), slab_start_;
};

// Runs slab by slab; way(result, first, steps) runs up to so many steps of all groups, from step `first` of the run on,
// and returns how many of them are complete. `meanwhile`: what the host does while the last of them are at work.
template <class T, class Way, class F>
RunResult run_slabs(Space& space, const RunArgs<T>& args, int64_t unit, Way&& way, const F& meanwhile) {
  RunResult result;
  space.begin_work();
  Slabs slabs(args.time_limit, args.cancel, args.n_steps, unit);
  while (result.steps < args.n_steps && !result.error && !slabs.late(result.steps)) {
    if ((result.cancelled = slabs.cancelled())) break;
    const int64_t steps = slabs.next(args.n_steps - result.steps);
    const int64_t complete = way(&result, result.steps, steps);
    space.end_work();
    meanwhile();
    space.wait();
    slabs.finished(std::max<int64_t>(1, complete));
    result.steps += complete;
  }
  return result;
}
template <class T, class Way>
RunResult run_slabs(Space& space, const RunArgs<T>& args, int64_t unit, Way&& way) {
  return run_slabs(space, args, unit, std::forward<Way>(way), [] {});
}

// Whether this thread has the memory that a run takes.
template <class T>
bool has_room(const Schedule<T>& schedule) {
  return schedule.room == 0 || scratch_or_null<T>(schedule.room);
}
template <class T>
void need_room(const Schedule<T>& schedule) {
  if (!has_room(schedule)) throw std::bad_alloc();
}

// Threads take one group after the other; one without memory takes none.
template <class T>
class Grouped {
 public:
  Grouped(const Runnable<T>& r, const RunArgs<T>& args, const Layout& layout, int threads, const Recording* recording)
      : schedule_(r.schedule), groups_(layout.groups(args.batch)) {
    need_room(schedule_);
    threads = static_cast<int>(std::min<int64_t>(threads, groups_));
    for (int i = 0; i < threads; ++i)
      workers_.push_back(std::make_unique<Worker<T>>(r.schedule, args, layout, recording));
  }

  int64_t operator()(RunResult* result, int64_t first, int64_t steps) const {
    std::atomic<int64_t> next_group{0};
    int64_t complete = 0;
    const auto work = [&](int number, Team&) {
      if (number > 0 && !has_room(schedule_)) return;
      for (int64_t g; (g = next_group.fetch_add(1)) < groups_;) {
        const int64_t done = workers_[number]->run(g, first, steps, &result->error);
        if (g == 0) complete = done;  // they differ only with callbacks, and then there is one group
      }
    };
    run_together(static_cast<int>(workers_.size()), std::ref(work));
    return complete;
  }

 private:
  const Schedule<T>& schedule_;
  int64_t groups_;
  std::vector<std::unique_ptr<Worker<T>>> workers_;
};

// Threads share out the ops of one group after the other, unless one has no memory: then the caller does them.
template <class T>
class Divided {
 public:
  Divided(const Runnable<T>& r, const RunArgs<T>& args, const DividedRecipe<T>& recipe, int threads)
      : schedule_(r.schedule), groups_(recipe.layout.groups(args.batch)) {
    need_room(schedule_);
    for (int i = 0; i < threads; ++i)
      workers_.push_back(std::make_unique<Worker<T>>(r.schedule, args, recipe.layout, *recipe.division,
                                                     i > 0 ? workers_[0].get() : nullptr));
  }

  int threads() const { return static_cast<int>(workers_.size()); }
  int64_t operator()(RunResult*, int64_t first, int64_t steps) {
    std::atomic<bool> lacking{false};
    const auto work = [&](int number, Team& team) {
      if (schedule_.room > 0) {
        if (!has_room(schedule_)) lacking = true;
        team.barrier();
        if (lacking) return;
      }
      for (int64_t g = 0; g < groups_; ++g) workers_[number]->run_divided(number, team, g, first, steps);
    };
    run_together(threads(), std::ref(work));
    if (lacking.exchange(false)) run_together(1, std::ref(work));
    return steps;
  }

 private:
  const Schedule<T>& schedule_;
  int64_t groups_;
  std::vector<std::unique_ptr<Worker<T>>> workers_;  // the first leads
};

// Whether threads that share out ops are faster than those that take groups is seen when they do: it depends on what
// else the processors do, since each waits for the others several times per window. Both ways give the same bits. They
// take turns: the one that was faster lately has most of them. While threads wake up the caller goes on alone.
template <class T>
class Raced {
 public:
  Raced(Grouped<T> alone, Divided<T> divided, Paces& paces, int64_t turn)
      : alone_(std::move(alone)), divided_(std::move(divided)), paces_(paces), turn_(turn) {}

  int64_t operator()(RunResult* result, int64_t first, int64_t steps) {
    int64_t done = 0;
    const auto turn = [&](auto& way, std::atomic<double>& lately, int64_t most) {
      const int64_t some = std::min(most, steps - done);
      const Clock::time_point start = Clock::now();
      way(result, first + done, some);
      const double pace = seconds_since(start) / static_cast<double>(some);
      const double slower = (lately + std::min(pace, 2 * lately)) / 2;             // a turn may have been held up, once
      if (2 * some > turn_) lately = 0 < lately && lately < pace ? slower : pace;  // less says little
      done += some;
    };
    const auto wake = [&] {
      constexpr int64_t kPieces = 8;  // of a turn
      const auto more = [&] { return steps - done > turn_; };
      const auto piece = [&] {
        turn(alone_, paces_.alone, turn_ / kPieces + 1);
        return more();
      };
      return more() && run_while_waking(divided_.threads(), std::ref(piece));
    };
    while (done < steps) {
      awake_ = prefers_divided() && (awake_ || wake());
      if (done < steps) awake_ ? turn(divided_, paces_.divided, turn_) : turn(alone_, paces_.alone, turn_);
    }
    return steps;
  }

 private:
  bool prefers_divided() {
    constexpr double kLead = 16;   // turns of the faster one for each that the other would have taken
    constexpr int64_t kTries = 8;  // the first find memory cold
    const double divided = paces_.divided, alone = paces_.alone;
    if (divided == 0 || paces_.tries < kTries) return ++paces_.tries, true;
    if (alone == 0) return false;
    const bool faster = divided < alone;
    const double lead = kLead * (faster ? alone / divided : divided / alone);
    if (static_cast<double>(++paces_.turns) < lead) return faster;
    paces_.turns = 0;
    return !faster;
  }

  Grouped<T> alone_;
  Divided<T> divided_;
  Paces& paces_;
  int64_t turn_;        // steps
  bool awake_ = false;  // the threads, since they have just been at work
};

// How much of inputs and outputs is in the space at a time. On a device windows begin at the same steps however often
// a run is stopped and goes on, since the bits of a library's products depend on their number of rows: pieces that
// hold several windows hold whole ones.
template <class T>
int64_t piece_of(const Runnable<T>& r, const RunArgs<T>& args) {
  const Space& space = r.schedule.space();
  const int64_t piece = piece_steps(space, r.facts.program, args);
  if (space.on_host() || piece >= args.n_steps) return piece;
  const int64_t window = r.recipes.run(args.batch, args.n_steps, 1)->window;
  return piece > window ? piece / window * window : piece;
}

// By groups, piece by piece.
template <class T>
RunResult run_grouped(const Runnable<T>& r, const RunArgs<T>& whole, ResidentRun<T>* resident, int threads) {
  const RunArgs<T>& args = resident->args();
  const std::shared_ptr<const Layout> layout = r.recipes.run(args.batch, args.n_steps, threads);
  const Grouped<T> way(r, args, *layout, threads, nullptr);
  const auto by_pieces = [&](RunResult* result, int64_t first, int64_t steps) {
    const int64_t start = resident->turn_to(first);
    return way(result, first - start, std::min(steps, start + args.n_steps - first));
  };
  const int64_t unit = r.schedule.space().on_host() ? 1 : layout->window;
  return run_slabs(r.schedule.space(), whole, unit, by_pieces, [&] { resident->meanwhile(); });
}

// One that can be divided: `work` elements in all.
template <class T>
RunResult run_raced(const Runnable<T>& r, const RunArgs<T>& args, const DividedRecipe<T>& recipe, int threads,
                    double work) {
  constexpr double kTurn = 1e7;  // elements, some milliseconds: long against the waking up of threads
  const auto windows = static_cast<int64_t>(static_cast<double>(args.n_steps) * kTurn / work) / recipe.layout.window;
  const std::shared_ptr<Paces> paces = recipe.paces;
  const std::shared_ptr<const Layout> layout = r.recipes.run(args.batch, args.n_steps, threads);
  Raced<T> way(Grouped<T>(r, args, *layout, threads, nullptr), Divided<T>(r, args, recipe, threads), *paces,
               (windows + 1) * recipe.layout.window);
  return run_slabs(r.schedule.space(), args, 1, way);
}

}  // namespace

template <class T>
void check_args(const Program& p, const RunArgs<T>& a, int64_t functions, bool with_outputs) {
  const auto fail = [](const std::string& message) { throw std::invalid_argument("run: " + message); };
  const auto at_least = [&](const char* name, int64_t least, int64_t got) {
    if (got < least)
      fail(std::string(name) + ": expected at least " + std::to_string(least) + ", got " + std::to_string(got));
  };
  const auto count = [&](const char* what, size_t expected, size_t got) {
    if (got != expected)
      fail(std::string(what) + ": expected " + std::to_string(expected) + ", as the program has, got " +
           std::to_string(got));
  };
  at_least("batch", 1, a.batch);
  at_least("n_steps", 0, a.n_steps);
  at_least("first_step", 0, a.first_step);
  if (a.first_step > std::numeric_limits<int64_t>::max() - a.n_steps)
    fail("first_step and n_steps: expected fewer than 2^63 steps in all, got " + std::to_string(a.first_step) +
         " and " + std::to_string(a.n_steps));
  count("inputs", p.inputs.size(), a.inputs.size());
  count("parameters", p.params.size(), a.params.size());
  if (with_outputs) count("outputs", p.outputs.size(), a.outputs.size());
  count("values of keep_last", p.outputs.size(), a.keep_last.size());
  if (!a.kept_steps.empty()) count("lists of kept_steps", p.outputs.size(), a.kept_steps.size());
  if (!a.state && p.state_size) fail("state is missing");
  if (!a.istate && p.istate_size) fail("istate is missing");
  if (functions == 0) return;
  if (!a.callbacks) fail("the program calls Python functions, but no callbacks were given");
  if (functions > a.callbacks->size())
    fail("callbacks: expected " + std::to_string(functions) + " Python functions, which the program calls, got fewer");
}

template <class T>
int most_threads(const RunArgs<T>& a) {
  static const int processors = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return std::min(a.threads > 0 ? a.threads : processors, 1024);
}

template <class T>
int thread_count(const RunArgs<T>& a, double work, bool has_callbacks) {
  constexpr double kWorthThreads = 4e6;  // elements: about a millisecond
  if (has_callbacks) return 1;
  const double total = work * static_cast<double>(a.batch) * static_cast<double>(a.n_steps);
  return a.threads <= 0 && total < kWorthThreads ? 1 : most_threads(a);
}

template <class T>
RunResult run_program(const Runnable<T>& r, const RunArgs<T>& host_args) {
  check_args(r.facts.program, host_args, r.facts.functions, true);
  if (!host_args.kept_steps.empty() && (host_args.tape || !r.schedule.space().on_host()))
    throw std::invalid_argument(std::string("kept_steps: expected a run on the host without a tape, got ") +
                                (host_args.tape ? "a tape" : "another backend"));
  std::shared_ptr<const TapeRecipe> recipe;
  if (host_args.tape) {
    recipe = r.recipes.tape(host_args.batch, host_args.n_steps, host_args.record);
    recipe->tape.check_memory(*host_args.tape);
  }
  Space& space = r.schedule.space();
  const TurnedRun<T> turned(space, r.facts.program, host_args);
  const SentParams sent = r.params.send(host_args, [&host_args](size_t i) {
    const std::vector<char>& wanted = host_args.record.wanted_params;
    return host_args.tape && (wanted.empty() || wanted[i]);
  });
  const bool by_pieces = !recipe && !r.facts.calls_python && !host_args.there;
  ResidentRun<T> resident(space, r.facts.program, turned.args(), sent,
                          by_pieces ? piece_of(r, host_args) : host_args.n_steps);
  const RunArgs<T>& args = turned.args();
  RunResult result;
  if (recipe) {
    host_args.tape->params = sent;
    result = record_run(r, resident.args(), *recipe, true);
  } else if (args.n_steps > 0) {
    const int threads = thread_count(args, r.facts.work, r.facts.calls_python);
    std::shared_ptr<const DividedRecipe<T>> divided;
    const double work = r.facts.work * static_cast<double>(args.batch) * static_cast<double>(args.n_steps);
    if (threads > args.batch && r.schedule.tiling().looks_for_division(work, r.facts.parts))
      divided = r.recipes.divided(args.batch, args.n_steps, threads);
    if (divided && divided->pays)
      result = run_raced(r, resident.args(), *divided, threads, work);
    else
      result = run_grouped(r, args, &resident, threads);
  }
  resident.bring_back(result.steps);
  return result;
}

template <class T>
RunResult record_run(const Runnable<T>& r, const RunArgs<T>& args, const TapeRecipe& recipe, bool write_outputs) {
  TapeHeader& header = args.tape->header;
  header = {recipe.tape.number(), args.first_step, 0};
  RunResult result;
  if (args.n_steps > 0) {
    const Recording recording{recipe.tape, static_cast<char*>(args.tape->memory), write_outputs};
    const int threads = thread_count(args, r.facts.work, r.facts.calls_python);
    result =
        run_slabs(r.schedule.space(), args, recipe.run.window, Grouped<T>(r, args, recipe.run, threads, &recording));
  }
  header.steps = result.steps;
  return result;
}

#define INSTANTIATE(T)                                                        \
  template int most_threads(const RunArgs<T>&);                               \
  template int thread_count(const RunArgs<T>&, double, bool);                 \
  template void check_args(const Program&, const RunArgs<T>&, int64_t, bool); \
  template RunResult run_program(const Runnable<T>&, const RunArgs<T>&);      \
  template RunResult record_run(const Runnable<T>&, const RunArgs<T>&, const TapeRecipe&, bool);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace nengo_dl
