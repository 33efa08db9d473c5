// Matrices among the parameters that the outside keeps column by column and the program row by row: turned at the
// beginning of a run, and so are their gradients at the end, where the arguments of the run lie.
#pragma once

#include <vector>

#include "engine/engine.h"
#include "engine/space.h"

namespace nengo_dl {

// All matrices of a parameter, within a space: from the outside's order to the program's, or back.
template <class T>
void turn(Space& space, const Param& param, const T* from, T* to, bool inwards);

// Copies of the parameters of a run that have to be turned, if they come from the outside: those that are sent are
// turned then (engine/kept_params.h). The others stay where they are.
template <class T>
class TurnedRun {
 public:
  TurnedRun(Space& space, const Program& program, const RunArgs<T>& args);
  const RunArgs<T>& args() const { return copies_.empty() ? given_ : args_; }

 private:
  const RunArgs<T>& given_;
  RunArgs<T> args_;
  std::vector<Memory<T>> copies_;
};

// Of a gradient whose arguments lie in the space.
template <class T>
class TurnedGrad {
 public:
  TurnedGrad(Space& space, const Program& program, const GradArgs<T>& args);
  const GradArgs<T>& args() const { return turns_ ? args_ : given_; }
  void bring_back() const;  // the gradients that were asked for

 private:
  Space& space_;
  const Program& program_;
  const GradArgs<T>& given_;
  const TurnedRun<T> run_;
  const bool turns_;
  GradArgs<T> args_;
  std::vector<Memory<T>> copies_;
};

}  // namespace nengo_dl
