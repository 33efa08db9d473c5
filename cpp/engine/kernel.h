// What runs an op: a kernel, and the frames that show it where its data lies.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "engine/program.h"

namespace nengo_dl {

// Python functions, called by `callback` ops. Implemented by the pybind11 module; the engine only sees these faces.
struct CallbackSite {                            // one `callback` op: constant while the program lives
  int64_t number;                                // among the program's `callback` ops
  int64_t index;                                 // into the table
  std::string name;                              // the op's
  bool float64;                                  // dtype of all arrays
  std::vector<std::vector<int64_t>> in_shapes;   // in0..
  std::vector<std::vector<int64_t>> out_shapes;  // out0.., then state0..
  size_t first_state;                            // out_shapes[first_state..] hold the old value on entry
};

// The calls of one run of one program on one thread, which outlives neither the program nor the table.
struct NDL_API CallbackRun {
  virtual ~CallbackRun() = default;
  // Runs the site's function for one item. `in` and `out` are contiguous arrays of the program's dtype.
  // Throws on failure (the run stops; steps before this one are kept).
  virtual void call(const CallbackSite& site, int64_t item, double time, const void* const* in, void* const* out) = 0;
};

struct NDL_API Callbacks {  // a table of functions; several runs of several programs may use it at once
  virtual ~Callbacks() = default;
  virtual int64_t size() const { return INT64_MAX; }  // functions in the table: a run that needs more is refused
  virtual std::unique_ptr<CallbackRun> start(int64_t sites) = 0;  // of a program with so many `callback` ops
};

constexpr signed char kNobodyAsked = -2;  // Frame::finite

// What a run keeps of a param, which no step changes: for each kernel that asks, its elements in the order in which the
// kernel reads them.
template <class T>
class Reordered {
 public:
  struct Copy {
    const void* const owner;  // the kernel
    int64_t asked = 0;        // how often; the owner's, as all below
    std::vector<T> values = {};
    Copy* next = nullptr;
  };

  Reordered() = default;
  Reordered(const Reordered&) = delete;
  ~Reordered() {
    for (Copy *copy = first_, *next; copy; copy = next) next = copy->next, delete copy;
  }
  Copy* of(const void* owner) {  // null if there is no memory
    for (Copy* copy = first_; copy; copy = copy->next)
      if (copy->owner == owner) return copy;
    auto* const copy = new (std::nothrow) Copy{owner};
    if (!copy) return nullptr;
    copy->next = first_;
    while (!first_.compare_exchange_weak(copy->next, copy)) continue;
    return copy;
  }

 private:
  std::atomic<Copy*> first_{nullptr};
};

// Where one thread finds its data while it runs one window for one group of items.
template <class T>
struct Frame {
  T* const* base;       // per buffer: row 0 of the group's first item
  const int64_t* row;   // per buffer: elements from step to step (0: param, learned, state, local)
  const int64_t* item;  // per buffer: elements from item to item (0: param)
  int64_t batch;        // items in this group
  int64_t first_item;   // number of the group's first item
  int64_t first_step;   // steps done before row 0
  int64_t offset;       // row 0 of this window is row `offset` of the inputs and outputs of this run
  int64_t steps;        // of this window
  double dt;
  int32_t* istate;              // integer state of the group's first item
  int64_t istate_item;          // words from item to item
  const T* const* inputs;       // per model input: (batch, n_steps, size), the group's first item
  T* const* outputs;            // per model output: likewise
  const int64_t* input_steps;   // rows per item of each input (n_steps)
  const int64_t* output_steps;  // rows per item of each output: n_steps, or 1 (only the last step is kept)
  const std::vector<int64_t>* const* kept_steps;  // per output as in RunArgs, or null
  CallbackRun* calls;                             // null if the program has no callbacks
  std::atomic<signed char>* finite;               // per buffer, of params: see all_finite (ops/finite.h)
  Reordered<T>* reordered;                        // per buffer, of params
  bool tf32;                                      // as in RunArgs
};

constexpr int kMaxRank = 4;

// A compiled operand: all of it but the base pointer. Plain data, passed to kernels by value; `offsets` is the table of
// the record that it was made from, which outlives it.
struct View {
  int64_t buffer = 0, shift = 0;
  int64_t rank = 0;
  int64_t shape[kMaxRank] = {}, strides[kMaxRank] = {};
  int64_t blocks = 0;
  const int64_t* offsets = nullptr;  // one per block
  int64_t first = 0, distance = 0;   // if regular: offsets[k] = first + k * distance
  bool regular = false;

  View() = default;
  explicit View(const Operand& o)
      : buffer(o.buffer),
        shift(o.shift),
        rank(static_cast<int64_t>(o.shape.size())),
        blocks(static_cast<int64_t>(o.offsets.size())),
        offsets(o.offsets.data()) {
    for (int64_t i = 0; i < rank; ++i) shape[i] = o.shape[i], strides[i] = o.strides[i];
    first = blocks > 0 ? offsets[0] : 0, distance = blocks > 1 ? offsets[1] - offsets[0] : 0;
    regular = true;
    for (int64_t k = 2; k < blocks; ++k) regular = regular && offsets[k] - offsets[k - 1] == distance;
  }
  explicit View(Operand&&) = delete;

  NDL_BOTH int64_t block(int64_t k) const { return regular ? first + k * distance : offsets[k]; }

  NDL_BOTH int64_t count() const {  // elements of one block
    int64_t n = 1;
    for (int64_t i = 0; i < rank; ++i) n *= shape[i];
    return n;
  }
  template <class T>
  NDL_BOTH T* at(const Frame<T>& f, int64_t t, int64_t b) const {  // add offsets[block] for a block
    return f.base[buffer] + (t + shift) * f.row[buffer] + b * f.item[buffer];
  }
};

// Where one thread finds its data while it goes back through one window (docs/PROGRAM.md, "Gradients").
// Both frames are laid out as for run(), but every buffer whose values the gradient's facts (engine/kind.h) name has a
// row per step in `value` (state and learned ones too: row t before step t, row t+1 after it).
template <class T>
struct GradFrame {
  Frame<T> value;    // what the window held; window, carried and local buffers that nobody needs are null
  Frame<T> adjoint;  // derivatives of the loss by the same elements; base[b] is null if nobody wants them. A param's is
                     // the place to add to. state and learned buffers lie in place (row 0)
  T* const* input_grads;         // per model input: (batch, n_steps, size) of the group's first item; null: not wanted
  const T* const* output_grads;  // per model output: likewise (or only the last step's row); null: zero
  const char* unset;  // per buffer: nothing is in its adjoint's rows before the one op that reads it sets them
  int64_t n_steps;    // of the run. An `output` that keeps only the last step is called only for that step
};

// How a kernel would run the items of a frame.
struct Forecast {
  std::string how;     // for people
  double seconds = 0;  // of a step, roughly
};

// Runs one op, or a chain of ops as one. Immutable, shared by threads and simulators.
template <class T>
class Kernel {
 public:
  virtual ~Kernel() = default;
  // Runs steps t0 .. t1-1 of the window for all items of the frame.
  virtual void run(const Frame<T>& frame, int64_t t0, int64_t t1) const = 0;

  // Steps t1-1 down to t0: takes the adjoints of what it wrote, adds to those of what it read. An `update` operand in a
  // buffer with rows: takes row t+1, adds to row t; in place (row 0): replaces. What write and set operands overwrote
  // in place is cleared by the engine afterwards. Called only if its kind says that derivatives pass.
  virtual void grad(const GradFrame<T>&, int64_t, int64_t) const {}
  // Adds to the adjoints of its operands in param (and learned) buffers for steps t0 .. t1-1. Called after grad() for a
  // whole window at once, or before grad() step by step if the adjoint of what it writes lies in place.
  virtual void grad_params(const GradFrame<T>&, int64_t, int64_t) const {}
  // Whether grad() sets the adjoint of a buffer with rows that it only reads, where GradFrame::unset says so, instead
  // of adding to it. Then the engine need not clear what this op alone reads, all of it.
  virtual bool sets(int64_t /*buffer*/) const { return false; }
  // Elements of scratch memory (engine/scratch.h) that run() can't do without. A run takes it before the first step:
  // what ends it later, other than a callback, would leave the state of some items ahead of the others'. So run() takes
  // no memory but this, and where it tries to, it can do without.
  virtual int64_t room() const { return 0; }
  // Of the kernel of a whole loop, for a frame of rows and sizes without data.
  virtual Forecast forecast(const Frame<T>&) const { return {}; }
};

}  // namespace nengo_dl
