// What an op is to the engine: a registration (arguments, check, factory) and a compiled object that runs it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/program.h"

namespace nengo_dl {

// Python functions, called by `callback` ops. Implemented by the pybind11 module; the engine only sees this face.
struct CallbackSite {                            // one `callback` op: constant while the program lives
  int64_t index;                                 // into the table
  std::string name;                              // the op's
  bool float64;                                  // dtype of all arrays
  std::vector<std::vector<int64_t>> in_shapes;   // in0..
  std::vector<std::vector<int64_t>> out_shapes;  // out0.., then state0..
  size_t first_state;                            // out_shapes[first_state..] hold the old value on entry
};

struct NDL_API Callbacks {
  virtual ~Callbacks() = default;
  virtual int64_t size() const { return INT64_MAX; }  // functions in the table: a run that needs more is refused
  // Runs the site's function for one item. `in` and `out` are contiguous arrays of the program's dtype.
  // Throws on failure (the run stops; steps before this one are kept). May be called by several runs at once.
  virtual void call(const CallbackSite& site, int64_t item, double time, const void* const* in, void* const* out) = 0;
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
  double dt;
  int32_t* istate;              // integer state of the group's first item
  int64_t istate_item;          // words from item to item
  const T* const* inputs;       // per model input: (batch, n_steps, size), the group's first item
  T* const* outputs;            // per model output: likewise
  const int64_t* input_steps;   // rows per item of each input (n_steps)
  const int64_t* output_steps;  // rows per item of each output: n_steps, or 1 (only the last step is kept)
  Callbacks* callbacks;
};

// A compiled operand: everything but the base pointer.
struct Access1 {
  int64_t buffer = 0, shift = 0;
  std::vector<int64_t> shape, strides, offsets;

  explicit Access1(const Operand& o)
      : buffer(o.buffer), shift(o.shift), shape(o.shape), strides(o.strides), offsets(o.offsets) {}

  template <class T>
  T* at(const Frame<T>& f, int64_t t, int64_t b) const {  // add offsets[block] for a block
    return f.base[buffer] + (t + shift) * f.row[buffer] + b * f.item[buffer];
  }
};

// Where one thread finds its data while it goes back through one window (docs/PROGRAM.md, "Gradients").
// Both frames are laid out as for run(), but every buffer whose values grad_reads() names has a row per step in `value`
// (state and learned ones too: row t before step t, row t+1 after it).
template <class T>
struct GradFrame {
  Frame<T> value;    // what the window held; window, carried and local buffers that nobody needs are null
  Frame<T> adjoint;  // derivatives of the loss by the same elements; base[b] is null if nobody wants them. A param's is
                     // the place to add to. state and learned buffers lie in place (row 0)
  T* const* input_grads;         // per model input: (batch, n_steps, size) of the group's first item; null: not wanted
  const T* const* output_grads;  // per model output: likewise (or only the last step's row); null: zero
  int64_t n_steps;               // of the run. An `output` that keeps only the last step is called only for that step
};

// A compiled op: immutable, shared by threads and simulators.
template <class T>
class Op {
 public:
  virtual ~Op() = default;
  // Runs steps t0 .. t1-1 of the window for all items of the frame.
  virtual void run(const Frame<T>& frame, int64_t t0, int64_t t1) const = 0;

  // Whether derivatives pass from what it writes to what it reads. If not, none of what follows is called.
  virtual bool passes_gradient() const { return false; }
  // Arguments whose values (before or after the step) grad() or grad_params() looks at; those in param buffers are
  // always there and need not be named.
  virtual std::vector<std::string> grad_reads() const { return {}; }
  // Steps t1-1 down to t0: takes the adjoints of what it wrote, adds to those of what it read. An `update` operand in a
  // buffer with rows: takes row t+1, adds to row t; in place (row 0): replaces. What write and set operands overwrote
  // in place is cleared by the engine afterwards.
  virtual void grad(const GradFrame<T>&, int64_t, int64_t) const {}
  // Adds to the adjoints of its operands in param (and learned) buffers for steps t0 .. t1-1. Called after grad() for a
  // whole window at once, or before grad() step by step if the adjoint of what it writes lies in place.
  virtual void grad_params(const GradFrame<T>&, int64_t, int64_t) const {}
};

// One argument of an op kind.
struct ArgSpec {
  std::string name;  // a trailing '*' stands for a number (in*, out*, state*)
  Access access;
  int rank;  // -1: any
  bool optional = false;
};

struct OpSpec {
  std::string kind;
  std::vector<ArgSpec> args;
  std::vector<std::string> attrs;  // names of all attributes it may have
  std::function<void(const OpRecord&, const Program&)>
      check;  // relations between shapes and attributes; throws ProgramError
  std::function<std::unique_ptr<Op<float>>(const OpRecord&, const Program&)> make32;
  std::function<std::unique_ptr<Op<double>>(const OpRecord&, const Program&)> make64;
};

// The registry. Registering a kind twice throws; looking up an unknown one lists the known ones.
void register_op(OpSpec spec);
NDL_API const OpSpec& find_op(const std::string& kind);
NDL_API std::vector<std::string> op_kinds();

struct OpRegistration {
  explicit OpRegistration(OpSpec spec) { register_op(std::move(spec)); }
};

// In a .cpp of cpp/ops: `static OpRegistration reg(make_spec<DenseOp>("dense", {...args}, {...attrs}, check));`
template <template <class> class OpT>
OpSpec make_spec(std::string kind, std::vector<ArgSpec> args, std::vector<std::string> attrs,
                 std::function<void(const OpRecord&, const Program&)> check) {
  return {std::move(kind),
          std::move(args),
          std::move(attrs),
          std::move(check),
          [](const OpRecord& r, const Program& p) -> std::unique_ptr<Op<float>> {
            return std::make_unique<OpT<float>>(r, p);
          },
          [](const OpRecord& r, const Program& p) -> std::unique_ptr<Op<double>> {
            return std::make_unique<OpT<double>>(r, p);
          }};
}

}  // namespace nengo_dl
