// Runs a compiled program: windows of steps over groups of items, one worker per thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/engine.h"

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

  explicit Plan(const Program& program);
};

// Sizes of a run; none of them changes results.
struct Layout {
  int64_t group = 1;           // items that are run together
  int64_t window = 1;          // steps
  std::vector<int64_t> place;  // per buffer: first element in the arena, -1 if it lives elsewhere
  int64_t arena = 0;           // elements

  Layout(const Program& program, int64_t batch, int64_t n_steps, int threads, bool has_callbacks, int64_t bytes);
  int64_t groups(int64_t batch) const { return (batch + group - 1) / group; }
};

// Memory of one thread and the frame that shows it to the ops. Allocated once per run.
template <class T>
class Worker {
 public:
  Worker(const Program& program, const Plan<T>& plan, const RunArgs<T>& args, const Layout& layout);
  // Runs `steps` steps, `done` steps after the start of the run, for one group. Returns the steps that are complete:
  // fewer than `steps` if a callback threw (then `error` is set).
  int64_t run(int64_t group, int64_t done, int64_t steps, std::exception_ptr* error);

 private:
  void place(int64_t group);
  void load();
  void store();
  void roll(int64_t steps);
  void run_window(int64_t steps);
  void save_undo();
  void undo();

  const Program& program_;
  const Plan<T>& plan_;
  const RunArgs<T>& args_;
  const Layout& layout_;
  std::unique_ptr<T[], void (*)(void*)> arena_;
  std::vector<T*> base_;
  std::vector<int64_t> row_, item_, input_steps_, output_steps_;
  std::vector<const T*> inputs_;
  std::vector<T*> outputs_;
  std::vector<T> saved_;
  std::vector<int32_t> saved_istate_;
  Frame<T> frame_;
};

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
