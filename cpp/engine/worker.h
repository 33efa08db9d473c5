// Runs windows of steps over groups of items: one worker per thread.
#pragma once

#include <exception>
#include <utility>
#include <vector>

#include "engine/division.h"
#include "engine/pool.h"
#include "engine/schedule.h"
#include "engine/sharing.h"
#include "engine/tape.h"

namespace nengo_dl {

// Sizes of a run; none of them changes results.
struct Layout {
  int64_t group = 1;           // items that are run together
  int64_t window = 1;          // steps
  std::vector<int64_t> place;  // per buffer: first element in the arena, -1 if it lives elsewhere
  int64_t arena = 0;           // elements
  int64_t off_tape = 0;        // of a recorded run: first element of the values of a window that the tape does not keep
  std::vector<std::pair<int64_t, int64_t>> zeroed;  // first element and count: at the start of a group's run

  // Of a run. `inner`: Schedule::inner
  Layout(const Program& program, const Sharing& sharing, const std::vector<char>& unwritten,
         const std::vector<char>& inner, const Geometry& geometry);
  // Of a recorded run, or of one made again for its values.
  Layout(const Program& program, const Sharing& sharing, const std::vector<char>& unwritten, const TapeLayout& tape,
         bool has_tape);
  int64_t groups(int64_t batch) const { return (batch + group - 1) / group; }

 private:
  // `elsewhere`: buffers whose values lie on the tape, or nowhere.
  void place_buffers(const Program& program, const Sharing& sharing, const std::vector<char>& unwritten,
                     const std::vector<char>& elsewhere);
  int64_t add(const Program& program, const std::string& name, int64_t rows, int64_t size);
};

// Elements from step to step and from item to item of each buffer that lies in a worker's own memory or where the
// caller has it, for a group of so many items.
void lay_rows(const Program& program, int64_t items, std::vector<int64_t>* row, std::vector<int64_t>* item);

// How a worker records.
struct Recording {
  const TapeLayout& layout;
  char* tape;          // its memory; null: values of one window after the other, in the worker's own memory
  bool write_outputs;  // false: the run is made again only for its values
};

// Memory of one thread and the frame that shows it to the ops. Made once per run.
template <class T>
class Worker {
 public:
  Worker(const Schedule<T>& schedule, const RunArgs<T>& args, const Layout& layout,
         const Recording* recording = nullptr);
  // One that shares out the ops of windows with others, and what they all touch: `lead` has that. Null: it is the lead.
  Worker(const Schedule<T>& schedule, const RunArgs<T>& args, const Layout& layout, const Division<T>& division,
         const Worker* lead);
  // Runs `steps` steps, `done` steps after the start of the run, for one group. Returns the steps that are complete:
  // fewer than `steps` if a callback threw (then `error` is set).
  int64_t run(int64_t group, int64_t done, int64_t steps, std::exception_ptr* error);
  // The same without callbacks, by the workers of a division, each on a thread of its own.
  void run_divided(int number, Team& team, int64_t group, int64_t done, int64_t steps);
  // Runs a window of a recorded run, whose state lies where `args` says. Its values stay until the next one.
  void replay(int64_t group, int64_t window);
  const T* values() const { return values_; }  // of the window that was run last, as TapeLayout::places() says

 private:
  void place(int64_t group);
  void load();
  void store(int64_t row);
  void roll(int64_t steps);
  void enter_window(int64_t offset, int64_t steps);  // of this run
  void run_window(int64_t steps);
  void run_share(const typename Division<T>::Stretch& stretch, int number, int size, int64_t first, int64_t end);
  int64_t record(int64_t group, int64_t done, int64_t steps, std::exception_ptr* error);
  void start_window(int64_t group, int64_t window);
  void checkpoint(int64_t window);
  void save(const std::vector<Needs::Piece>& pieces, const WindowPlaces& places, int64_t row);
  void run_and_save(const WindowPlaces& places, int64_t steps);
  T* in_arena(int64_t buffer) const;

  T* state_of(int64_t buffer) const;
  template <class U>
  void copy_undo(U* values, int64_t distance, int64_t count, int64_t items, bool back, U** kept);
  void keep_or_undo(bool back);

  const Schedule<T>& schedule_;
  const Facts& facts_;
  const Program& program_;
  Space& space_;
  const RunArgs<T>& args_;
  const Layout& layout_;
  const Recording* recording_;
  const Division<T>* division_ = nullptr;
  const Worker* lead_ = nullptr;
  Memory<T> arena_;
  T* values_ = nullptr;
  std::vector<T*> base_;
  std::vector<int64_t> row_, item_, input_steps_, output_steps_;
  std::vector<const T*> inputs_;
  std::vector<T*> outputs_;
  Memory<T> undo_;  // what the step changes in place, as it was before
  Memory<int32_t> undo_istate_;
  std::unique_ptr<CallbackRun> calls_;
  std::unique_ptr<std::atomic<signed char>[]> finite_;
  std::unique_ptr<Reordered<T>[]> reordered_;
  Frame<T> frame_;
};

}  // namespace nengo_dl
