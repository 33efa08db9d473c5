// Runs a compiled program: windows of steps over groups of items, one worker per thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/tape.h"

namespace nengo_dl {

template <class T>
struct Stage {  // a region, compiled
  bool loop;
  std::vector<std::unique_ptr<Op<T>>> ops;
};

template <class T>
struct Plan {  // constant, shared by all runs
  std::vector<Stage<T>> stages;
  bool has_callbacks = false;
  int64_t functions = 0;      // Python functions that the table must hold
  std::vector<int64_t> undo;  // state and learned buffers that change before the last callback of a step
  double work = 0;            // elements touched per step and item: what threads are worth
  Flow flow;
  uint64_t fingerprint;  // of the program

  Plan(const Program& program, uint64_t fingerprint);

 private:
  std::unique_ptr<Op<T>> compile(FlowOp& op, const Program& program);
};

template <class T>
using Memory = std::unique_ptr<T[], void (*)(void*)>;
template <class T>
Memory<T> allocate(int64_t elements, bool zeroed = true);  // aligned; std::runtime_error if it can't be had

// Sizes of a run; none of them changes results.
struct Layout {
  int64_t group = 1;           // items that are run together
  int64_t window = 1;          // steps
  std::vector<int64_t> place;  // per buffer: first element in the arena, -1 if it lives elsewhere
  int64_t arena = 0;           // elements
  int64_t values = 0;          // of a recorded run: first element of the values of a window that is not on the tape

  Layout() = default;
  Layout(const Program& program, int64_t batch, int64_t n_steps, int threads, bool has_callbacks, int64_t bytes);
  Layout(const Program& program, const TapeLayout& tape, bool has_tape);  // of a recorded run
  int64_t groups(int64_t batch) const { return (batch + group - 1) / group; }

 private:
  int64_t add(const std::string& name, int64_t rows, int64_t size, int64_t line);
};

// How a worker records.
struct Recording {
  const TapeLayout& layout;
  char* tape;          // null: values of one window after the other, in the worker's own memory
  bool write_outputs;  // false: the run is made again only for its values
};

// Memory of one thread and the frame that shows it to the ops. Allocated once per run.
template <class T>
class Worker {
 public:
  Worker(const Program& program, const Plan<T>& plan, const RunArgs<T>& args, const Layout& layout,
         const Recording* recording = nullptr);
  // Runs `steps` steps, `done` steps after the start of the run, for one group. Returns the steps that are complete:
  // fewer than `steps` if a callback threw (then `error` is set).
  int64_t run(int64_t group, int64_t done, int64_t steps, std::exception_ptr* error);
  // Runs a window of a recorded run, whose state lies where `args` says. Its values stay until the next one.
  void replay(int64_t group, int64_t window);
  const T* values() const { return values_; }  // of the window that was run last, as TapeLayout::block() lays it out

 private:
  void place(int64_t group);
  void load();
  void store(int64_t row);
  void roll(int64_t steps);
  void run_window(int64_t steps);
  int64_t record(int64_t group, int64_t done, int64_t steps, std::exception_ptr* error);
  void start_window(int64_t group, int64_t window);
  void checkpoint(int64_t window);
  void save(const std::vector<Needs::Piece>& pieces, const Block& block, int64_t row);
  void run_and_save(const Block& block, int64_t steps);
  T* in_arena(int64_t place) const { return place < 0 ? nullptr : arena_.get() + place; }
  void save_undo();
  void undo();

  const Program& program_;
  const Plan<T>& plan_;
  const RunArgs<T>& args_;
  const Layout& layout_;
  const Recording* recording_;
  Memory<T> arena_;
  T* values_ = nullptr;
  std::vector<T*> base_;
  std::vector<int64_t> row_, item_, input_steps_, output_steps_;
  std::vector<const T*> inputs_;
  std::vector<T*> outputs_;
  std::vector<T> saved_;
  std::vector<int32_t> saved_istate_;
  Frame<T> frame_;
};

// The work of one run on several threads.
template <class T>
int thread_count(const RunArgs<T>& args, double work, bool has_callbacks);
template <class T>
RunResult run_plan(const Program& program, const Plan<T>& plan, const RunArgs<T>& args);
template <class T>
RunResult record_plan(const Program& program, const Plan<T>& plan, const RunArgs<T>& args, const TapeLayout& tape,
                      bool write_outputs);
template <class T>
void check_args(const Program& program, const RunArgs<T>& args, int64_t functions, bool with_outputs);
template <class T>
void grad_plan(const Program& program, const Plan<T>& plan, const GradArgs<T>& args);
// The tape of a run whose gradient may be asked for by all inputs, the state and the wanted parameters.
template <class T>
TapeLayout full_tape(const Program& program, const Plan<T>& plan, int64_t batch, int64_t n_steps, int64_t first_step,
                     const TapeOptions& options);

// A few threads that all do one piece of work, then wait for the next.
class Team {
 public:
  Team(int threads, std::function<void(int)> work);
  ~Team();
  void run();  // calls work(0 .. threads-1), each on its own thread; rethrows the first exception

 private:
  void member(int number);
  void do_work(int number);

  std::function<void(int)> work_;
  std::mutex lock_;
  std::condition_variable start_, done_;
  int64_t round_ = 0;
  int busy_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
  std::vector<std::thread> members_;
};

}  // namespace nengo_dl
