// The face of the engine: compile a program once, run it for any number of steps and items.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/op.h"
#include "engine/program.h"

namespace nengo_dl {

template <class T>
struct RunArgs {
  int64_t batch = 1;
  int64_t n_steps = 0;
  int64_t first_step = 0;        // steps done before this run
  std::vector<const T*> inputs;  // (batch, n_steps, size) each
  std::vector<T*> params;        // (size) each, never written; learned: (batch, size), changed in place
  T* state = nullptr;            // (batch, state_size), in and out
  int32_t* istate = nullptr;     // (batch, istate_size), in and out
  std::vector<T*> outputs;       // (batch, n_steps or 1, size) each
  std::vector<char> keep_last;   // per output: 1 if only the last step is kept
  Callbacks* callbacks = nullptr;
  int threads = 0;        // 0: as many as there are processors, if there is work for them
  double time_limit = 0;  // seconds; stop at the next window border after it; 0: none
  const std::atomic<bool>* cancel = nullptr;
};

struct RunResult {
  int64_t steps = 0;         // steps that every item has done and whose outputs are written
  std::exception_ptr error;  // what a callback threw; state is that of `steps`
};

class NDL_API Compiled {
 public:
  explicit Compiled(std::string_view bytes);  // ProgramError
  ~Compiled();
  const Program& program() const;
  // std::invalid_argument if arguments are missing; what they point to must have the sizes above.
  RunResult run(const RunArgs<float>& args) const;   // std::logic_error if the program is of the other dtype
  RunResult run(const RunArgs<double>& args) const;  // safe to call from several threads at once

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Instruction sets: "baseline", "avx2", "avx512". NENGO_DL_ISA in the environment forces one.
NDL_API std::string isa();
NDL_API void set_isa(
    const std::string& name);             // for programs compiled later; std::invalid_argument lists what there is
NDL_API std::vector<std::string> isas();  // what this processor and this library have

// Callback tables by number, so that a TensorFlow op can carry one in an attribute.
NDL_API int64_t add_callbacks(std::shared_ptr<Callbacks> table);
NDL_API void remove_callbacks(int64_t handle);
NDL_API std::shared_ptr<Callbacks> find_callbacks(int64_t handle);  // std::out_of_range

}  // namespace nengo_dl
