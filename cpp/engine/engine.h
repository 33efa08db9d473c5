// The face of the engine: compile a program once, run it for any number of steps and items.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/kernel.h"
#include "engine/program.h"

namespace nengo_dl {

class Space;  // engine/space.h

// What a run records for the gradient.
struct TapeOptions {
  int64_t memory = -1;  // bytes that recorded values may take; -1: no limit; 0: only checkpoints, windows are run again
  std::vector<char> wanted_params;  // per param: whether its gradient may be asked for; empty: all
};

// What a run has recorded for its gradient: values, in memory that the program's backend can reach, and on the host
// what they belong to.
struct TapeHeader {
  uint64_t layout = 0;     // stands for the program and all sizes; 0: nothing is recorded
  int64_t first_step = 0;  // of the run
  int64_t steps = 0;       // that were recorded
};
struct Tape {
  void* memory = nullptr;  // aligned to 16 bytes
  int64_t bytes = 0;       // Compiled::tape_bytes()
  TapeHeader header;
  std::vector<std::shared_ptr<void>> params = {};  // of the run, where the host can't read them, for its gradient
};

template <class T>
struct RunArgs {
  int64_t batch = 1;
  int64_t n_steps = 0;
  int64_t first_step = 0;        // steps done before this run
  std::vector<const T*> inputs;  // (batch, n_steps, size) each
  std::vector<T*> params;        // (size) each, as outside; never written; learned: (batch, size), changed in place
  T* state = nullptr;            // (batch, state_size), in and out
  int32_t* istate = nullptr;     // (batch, istate_size), in and out
  std::vector<T*> outputs;       // (batch, n_steps or 1 or kept_steps, size) each
  std::vector<char> keep_last;   // per output: 1 if only the last step is kept
  // Per output: the steps that have rows, in order, counted from the first of this run; null: as keep_last says. None
  // at all: null for each. For runs on the host without a tape.
  std::vector<const std::vector<int64_t>*> kept_steps;
  Callbacks* callbacks = nullptr;
  int threads = 0;        // 0: as many as there are processors, if there is work for them
  double time_limit = 0;  // seconds; stop at the next window border after it; 0: none
  const std::atomic<bool>* cancel = nullptr;
  Tape* tape = nullptr;  // where to record what the gradient needs
  TapeOptions record;    // how, if there is a tape
  bool there = false;    // all but istate lies in the memory of the backend, as TensorFlow's tensors on a GPU do
  bool tf32 = false;     // a GPU's products of float32 may round their factors to 10 bits, which is much faster

  int64_t output_rows(size_t output) const {  // per item
    if (!kept_steps.empty() && kept_steps[output]) return static_cast<int64_t>(kept_steps[output]->size());
    return keep_last[output] ? 1 : n_steps;
  }
};

// Derivatives of a loss by the inputs, parameters and state of a run, from those by its outputs. Null: zero (what is
// given) or not wanted (what is asked for). What is asked for is overwritten.
template <class T>
struct GradArgs {
  RunArgs<T> run;              // the run: params, state and istate as they were before it; outputs, time_limit not used
  const Tape* tape = nullptr;  // recorded by that run with the same options; null: it is run again
  std::vector<const T*> output_grads;   // (batch, n_steps or 1, size) each
  std::vector<const T*> learned_grads;  // per param: by the learned values after the run, (batch, size)
  const T* state_out_grad = nullptr;    // by the state after the run, (batch, state_size)
  std::vector<T*> input_grads;          // (batch, n_steps, size) each
  std::vector<T*> param_grads;          // (size) each; learned: (batch, size), by the values before the run
  T* state_grad = nullptr;              // by the state before the run, (batch, state_size)
};

struct RunResult {
  int64_t steps = 0;         // steps that every item has done and whose outputs are written
  std::exception_ptr error;  // what a callback threw; state is that of `steps`
  bool cancelled = false;    // RunArgs::cancel ended the run; state is that of `steps`
};

// RunArgs::cancel ended a gradient: what was asked for means nothing.
struct NDL_API Cancelled : std::runtime_error {
  Cancelled() : std::runtime_error("the gradient was cancelled") {}
};

// Ops first .. first+count-1 of a region, which one kernel runs.
struct FusedOps {
  int64_t region, first, count;
  std::string text;  // what they are, for people
};

// A loop region that one kernel runs as a whole.
struct WholeLoop {
  int64_t region;
  std::string how;  // for people
  double seconds;   // of a step of so many items, as predicted
};

// Ops of a region that workers share out when there are fewer items than threads.
struct DividedOps {
  int64_t region, first, count;
  std::string how;  // "islands": each has its own, "steps": each has some steps, "alone": the first does them
  double longest;   // part of the work that the worker with most to do has
};

// Whether programs are compiled with fused kernels: unless NENGO_DL_FUSE is 0 in the environment, for tests.
NDL_API bool fuses();

class NDL_API Compiled {
 public:
  // ProgramError; std::invalid_argument if there is no such backend.
  explicit Compiled(std::string_view bytes, const std::string& backend = "cpu", bool fuse = fuses());
  ~Compiled();
  const Program& program() const;
  std::vector<FusedOps> fused() const;
  std::vector<WholeLoop> loops(int64_t batch) const;
  std::vector<DividedOps> divided(int threads) const;
  const std::string& backend() const;
  Space& space() const;  // what the backend works on, tapes among it
  bool on_host() const;  // whether the host may read that
  // std::invalid_argument if arguments are missing; what they point to must have the sizes above. On the CPU, what is
  // thrown is thrown before the first step: state and learned parameters are as they were.
  RunResult run(const RunArgs<float>& args) const;   // std::logic_error if the program is of the other dtype
  RunResult run(const RunArgs<double>& args) const;  // safe to call from several threads at once
  // Size of the tape of a run; ProgramError if the program has no gradient (docs/PROGRAM.md, "Gradients").
  int64_t tape_bytes(int64_t batch, int64_t n_steps, const TapeOptions& options) const;
  std::shared_ptr<Tape> new_tape(int64_t batch, int64_t n_steps, const TapeOptions& options) const;
  // ProgramError as above; std::invalid_argument if arguments are missing, the tape is not of this run, or there is no
  // tape and the program has callbacks; Cancelled.
  void grad(const GradArgs<float>& args) const;
  void grad(const GradArgs<double>& args) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Instruction sets: "baseline", "avx2", "avx512". NENGO_DL_ISA in the environment forces one.
NDL_API std::string isa();
NDL_API void set_isa(
    const std::string& name);             // for programs compiled later; std::invalid_argument lists what there is
NDL_API std::vector<std::string> isas();  // what this processor and this library have

NDL_API std::vector<std::string> backends();  // by name
// Adds backend "cuda", from a library of its own. std::runtime_error if there is no such library, one of another
// build, or no GPU.
NDL_API void load_cuda();
NDL_API const char* build_stamp();  // of the engine
NDL_API std::string cuda_info();    // the GPU, the driver, cuBLAS; std::runtime_error if "cuda" is not loaded
// Seconds that the last run or gradient on the GPU took there, without the copies of its arguments and results (but for
// those of a long run's pieces, which are on their way meanwhile); likewise, and if there was none. Of runs at the same
// time, from the last beginning to the last end.
NDL_API double cuda_seconds();
NDL_API std::pair<int64_t, int64_t> cuda_memory();  // bytes of the GPU that are free, and all; likewise

// Callback tables by number, so that a TensorFlow op can carry one in an attribute.
NDL_API int64_t add_callbacks(std::shared_ptr<Callbacks> table);
NDL_API void remove_callbacks(int64_t handle);
NDL_API std::shared_ptr<Callbacks> find_callbacks(int64_t handle);  // std::out_of_range

}  // namespace nengo_dl
