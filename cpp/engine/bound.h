// A program with the memory that it runs on, which one door hands to another: TensorFlow's door binds a program to
// variables, Python's door runs it on them without an op.
#pragma once

#include <memory>
#include <vector>

#include "engine/engine.h"

namespace nengo_dl {

// What the caller of a bound program owns; pointers are to values of the program's dtype.
struct BoundArgs {
  int64_t n_steps = 0;
  double time_limit = 0;                                     // as in RunArgs
  std::vector<const void*> inputs;                           // (batch, n_steps, size) each
  std::vector<void*> outputs;                                // (batch, n_steps or 1 or kept_steps, size) each
  std::vector<const std::vector<int64_t>*> kept_steps = {};  // as in RunArgs
  int64_t items = 0;       // so many of the first items leave state and learned parameters; 0: all
  bool keep_state = true;  // otherwise the state stays that of before the run; learned parameters don't
  bool whole = false;      // nothing stays of a run that did not do all of its steps
};

struct BoundResult : RunResult {
  int64_t first_step = 0;  // steps done before the run
};

class NDL_API BoundProgram {
 public:
  virtual ~BoundProgram() = default;
  virtual const Program& program() const = 0;
  virtual int64_t batch() const = 0;
  virtual const std::vector<char>& keep_last() const = 0;  // per output
  virtual int64_t steps_done() const = 0;
  // Runs on from the present state and leaves the new one. std::invalid_argument: the memory does not fit the program.
  virtual BoundResult run(const BoundArgs& args) const = 0;
};

// From door to door, by number: who takes a program owns it.
NDL_API int64_t hand_over(std::shared_ptr<const BoundProgram> bound);
NDL_API std::shared_ptr<const BoundProgram> take_over(int64_t number);  // std::out_of_range

}  // namespace nengo_dl
