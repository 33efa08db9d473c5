// What is true of a program whatever runs it, and in whatever precision.
#pragma once

#include <vector>

#include "engine/flow.h"

namespace nengo_dl {

struct Facts {
  const Program& program;
  const uint64_t fingerprint;  // of the program
  const Flow flow;
  const std::vector<char> unwritten;  // per buffer, see engine/unwritten.h
  bool calls_python = false;
  int64_t functions = 0;      // Python functions that the table must hold
  std::vector<int64_t> undo;  // state and learned buffers that change before the last Python function of a step
  double work = 0;            // elements touched per step and item: what threads are worth
  double weight_uses = 1;     // of an element of param buffers, per step and item, on average
  double parts = 0;           // of all ops (engine/slice.h): what it costs to share them out

  const int64_t matrix;  // elements of the largest weights that ops outside of loops multiply many rows with

  Facts(const Program& program, uint64_t fingerprint);
  Facts(const Facts&) = delete;
};

}  // namespace nengo_dl
