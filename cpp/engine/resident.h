// The arguments of a run or gradient where the backend can reach them: copies in its space, brought back at the end,
// or, if the space is the host's, the arguments themselves.
#pragma once

#include <vector>

#include "engine/engine.h"
#include "engine/space.h"

namespace nengo_dl {

// Copies of arrays of the host that live as long as this.
class Visitors {
 public:
  explicit Visitors(Space& space) : space_(space) {}
  template <class T>
  T* add(const T* host, int64_t count);  // with the host's values; null stays null
  template <class T>
  T* room(const T* host, int64_t count);  // not initialised; null stays null

 private:
  Space& space_;
  std::vector<Memory<char>> memory_;
};

template <class T>
class ResidentRun {
 public:
  ResidentRun(Space& space, const Program& program, const RunArgs<T>& args);
  const RunArgs<T>& args() const { return space_.on_host() ? host_ : args_; }
  void bring_back(int64_t steps) const;  // what the run changed, and the outputs of `steps` steps

 private:
  Space& space_;
  const Program& program_;
  const RunArgs<T>& host_;
  RunArgs<T> args_;
  Visitors visitors_;
};

template <class T>
class ResidentGrad {
 public:
  ResidentGrad(Space& space, const Program& program, const GradArgs<T>& args);
  const GradArgs<T>& args() const { return space_.on_host() ? host_ : args_; }
  void bring_back() const;

 private:
  Space& space_;
  const Program& program_;
  const GradArgs<T>& host_;
  ResidentRun<T> run_;
  GradArgs<T> args_;
  Visitors visitors_;
};

}  // namespace nengo_dl
