// The engine as a guest on the GPU that TensorFlow works on.
#pragma once

#include "absl/status/status.h"
#include "engine/space.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace nengo_dl {

// While it lives, what the engine starts comes after what TensorFlow has started, in memory that TensorFlow gives where
// it can; what TensorFlow starts afterwards comes after all of that.
class Visit {
 public:
  Visit() = default;
  ~Visit();
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

  // If the op runs on a GPU; errors say what of the GPU the engine can't use.
  absl::Status begin(tensorflow::OpKernelContext* ctx, Space& space);

 private:
  Space* space_ = nullptr;
  Neighbour* neighbour_ = nullptr;
};

// Whether a kernel was made for a GPU.
bool on_gpu(const tensorflow::OpKernelConstruction& ctx);
bool on_gpu(const tensorflow::OpKernelContext& ctx);

}  // namespace nengo_dl
