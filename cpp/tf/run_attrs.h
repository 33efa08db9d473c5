// The attributes that NengoDL>Run and NengoDL>RunGrad have in common.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tf/compiled_cache.h"
#include "tf/run_call.h"

namespace nengo_dl {

// What is known of a run when its kernel is made.
struct RunAttrs {
  std::shared_ptr<const Compiled> compiled;
  RunOptions options;
  std::vector<int64_t> learned;  // places of the learned parameters
  TapeOptions record;

  // Compiles the program and checks that the attributes, which TensorFlow needs for shapes, repeat what it says.
  absl::Status read(tensorflow::OpKernelConstruction* ctx, bool float64);

  const Program& program() const { return compiled->program(); }
};

// Checks that `places` are ascending and below `size`.
absl::Status check_places(const std::string& op, const char* name, const std::vector<int64_t>& places, size_t size);

}  // namespace nengo_dl
