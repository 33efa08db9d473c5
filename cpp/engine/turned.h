// Matrices among the parameters that the outside keeps column by column and the program row by row: turned at the
// beginning of a run, and so are their gradients at the end.
#pragma once

#include <memory>
#include <vector>

#include "engine/engine.h"

namespace nengo_dl {

// The transpose of `rows` x `columns` elements that lie row by row.
template <class T>
void transpose(const T* from, int64_t rows, int64_t columns, T* to);
// All matrices of a parameter: from the outside's order to the program's, or back.
template <class T>
void turn(const Param& param, const T* from, T* to, bool inwards);

// Copies of the parameters of a run that have to be turned, if it is `on_host`: otherwise they are when they are sent
// (engine/kept_params.h). The others stay where they are.
template <class T>
class TurnedRun {
 public:
  TurnedRun(const Program& program, const RunArgs<T>& args, bool on_host);
  const RunArgs<T>& args() const { return copies_.empty() ? given_ : args_; }

 private:
  const RunArgs<T>& given_;
  RunArgs<T> args_;
  std::vector<std::unique_ptr<T[]>> copies_;
};

template <class T>
class TurnedGrad {
 public:
  TurnedGrad(const Program& program, const GradArgs<T>& args, bool on_host);
  const GradArgs<T>& args() const { return turns_ ? args_ : given_; }
  void bring_back() const;  // the gradients that were asked for

 private:
  const Program& program_;
  const GradArgs<T>& given_;
  const TurnedRun<T> run_;
  const bool turns_;
  GradArgs<T> args_;
  std::vector<std::unique_ptr<T[]>> copies_;
};

}  // namespace nengo_dl
