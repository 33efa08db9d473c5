// The arguments of a run or gradient where the backend can reach them: copies in its space, brought back at the end,
// or, if it reaches what the caller gave, that (but for `istate`, which the host has in any case). Parameters that no
// run changes were sent before.
#pragma once

#include <vector>

#include "engine/engine.h"
#include "engine/kept_params.h"
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

// Inputs and outputs of `piece` steps at a time: while the steps of one piece are at work, the outputs of the one
// before and the inputs of the next are on their way.
template <class T>
class ResidentRun {
 public:
  ResidentRun(Space& space, const Program& program, const RunArgs<T>& args, const SentParams& sent, int64_t piece);
  const RunArgs<T>& args() const { return space_.on_host() ? host_ : args_; }  // of a run of one piece
  int64_t turn_to(int64_t step);  // `args` are of the piece with this step of the run; returns the first step of it
  void meanwhile();               // once steps of a piece were started, and those of the one before are complete
  void bring_back(int64_t steps) const;  // what the run changed, and the outputs of `steps` steps

 private:
  void make_room();
  void send_params();
  void send(int64_t piece);
  void fetch(int64_t piece, int64_t steps) const;
  bool follows(int64_t piece) const { return (piece + 1) * args_.n_steps < host_.n_steps; }

  Space& space_;
  const Program& program_;
  const RunArgs<T>& host_;
  RunArgs<T> args_;
  std::vector<T*> inputs_[2], outputs_[2];  // of even and odd pieces
  const SentParams sent_;
  int64_t piece_ = 0;
  bool met_ = false;  // meanwhile() was called for this piece
  Visitors visitors_;
};
// Steps whose inputs and outputs the space takes at a time.
template <class T>
int64_t piece_steps(const Space& space, const Program& program, const RunArgs<T>& args);

template <class T>
class ResidentGrad {
 public:
  ResidentGrad(Space& space, const Program& program, const GradArgs<T>& args, const SentParams& sent);
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
