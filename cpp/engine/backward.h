// Goes back through the windows of a recorded run.
#pragma once

#include <memory>
#include <vector>

#include "engine/op_util.h"
#include "engine/worker.h"

namespace nengo_dl {

// An adjoint in place that an op has overwritten on the way forward.
struct Clearing {
  View operand;
  std::vector<int64_t> elements;  // of all blocks
};

// An op on the way back.
template <class T>
struct BackOp {
  const Kernel<T>* op;
  bool passes;            // calls grad()
  bool params;            // calls grad_params()
  bool params_each_step;  // in a loop: before the grad() of each step; else once for the window, after all its steps
  bool step_by_step;      // in a sequence
  bool only_last;         // an output of which only the last step is kept
  size_t number;          // among the ops of its region
  std::vector<Clearing> clearings;
};

// The ops that one gradient needs, and where adjoints lie; shared by all threads.
template <class T>
struct BackPlan {
  BackPlan(const Schedule<T>& schedule, const Activity& activity, const TapeLayout& tape, const Wishes& wishes,
           const std::vector<char>& keep_last);

  struct Part {
    bool loop;
    std::vector<BackOp<T>> ops;                  // in running order
    std::unique_ptr<Kernel<T>> whole = nullptr;  // of a loop: goes back through all of its ops, if not null
  };
  std::vector<Part> parts;
  std::vector<char> active;
  std::vector<char> held;      // per buffer: carried, but nobody else names it than the op that updates it, which holds
                               // its adjoint from step to step: it lies in place
  std::vector<char> unset;     // per buffer: GradFrame::unset
  std::vector<int64_t> place;  // per buffer: where its adjoint begins in a thread's memory, -1 if it is not there
  int64_t size = 0;            // elements of that memory

 private:
  void add_whole(const Schedule<T>& schedule, size_t region, Part* part) const;
  void find_single_readers(const Schedule<T>& schedule);
  static std::vector<char> changing_adjoints(const Flow& flow, const Activity& activity);
  BackOp<T> make_op(const Program& program, const std::vector<char>& changing, const Activity& activity,
                    const FlowOp& op, bool loop);
};

// One thread's memory and frames.
template <class T>
class Backward {
 public:
  // `replay` makes windows again that are not on the tape; null if all are.
  Backward(const Schedule<T>& schedule, const BackPlan<T>& back, const GradArgs<T>& args, const char* tape,
           const TapeLayout& layout, const RunArgs<T>& scratch, const Layout* memory);
  // All steps of one group; gradients of parameters are added to `params` (null: not wanted). False: cancelled.
  bool run(int64_t group, const std::vector<T*>& params);

 private:
  void place_group(int64_t group, const std::vector<T*>& params);
  void place_window(int64_t window);
  void restore(int64_t window);
  void start();
  void finish();
  void zero_rows(int64_t steps);
  void sequence(const std::vector<BackOp<T>>& ops, int64_t steps, bool last_window);
  void loop(const typename BackPlan<T>::Part& part, int64_t steps, bool last_window);
  void clear(const BackOp<T>& op);

  const Program& program_;
  Space& space_;
  const BackPlan<T>& back_;
  const GradArgs<T>& args_;
  const char* tape_;
  const TapeLayout& layout_;
  const RunArgs<T>& scratch_;  // a copy of what a run changes, for `replay`
  Recording recording_;
  std::unique_ptr<Worker<T>> replay_;
  Memory<T> arena_;
  std::vector<T*> value_, adjoint_, input_grads_;
  std::vector<const T*> inputs_, output_grads_;
  std::vector<int64_t> value_row_, value_item_, row_, item_, input_steps_, output_steps_;
  GradFrame<T> frame_;
  int64_t group_ = 0;
};

}  // namespace nengo_dl
