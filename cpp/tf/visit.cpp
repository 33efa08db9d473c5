#include "tf/visit.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/platform/logging.h"
#include "xla/stream_executor/stream.h"
#include "xla/stream_executor/stream_executor.h"

namespace nengo_dl {
namespace {

class TensorFlowGpu final : public Neighbour {
 public:
  TensorFlowGpu(void* stream, tensorflow::Allocator* memory) : stream_(stream), memory_(memory) {}

  void* stream() const override { return stream_; }
  void* allocate(int64_t bytes) override {
    constexpr size_t kAlign = 256;
    tensorflow::AllocationAttributes at_once;
    at_once.retry_on_failure = false;  // the driver may have some
    return memory_->AllocateRaw(kAlign, static_cast<size_t>(bytes), at_once);
  }
  void release(void* memory) override { memory_->DeallocateRaw(memory); }

 private:
  void* stream_;
  tensorflow::Allocator* memory_;
};

// Kept for ever, as memory may come back at any time: TensorFlow has few streams, and keeps its allocators, too.
Neighbour* neighbour_of(void* stream, tensorflow::Allocator* memory) {
  static auto* const lock = new std::mutex;
  static auto* const all = new std::map<std::pair<void*, void*>, std::unique_ptr<TensorFlowGpu>>;
  const std::lock_guard<std::mutex> hold(*lock);
  std::unique_ptr<TensorFlowGpu>& found = (*all)[{stream, memory}];
  if (!found) found = std::make_unique<TensorFlowGpu>(stream, memory);
  return found.get();
}

}  // namespace

bool on_gpu(const tensorflow::OpKernelConstruction& ctx) { return ctx.device_type() == tensorflow::DEVICE_GPU; }
bool on_gpu(const tensorflow::OpKernelContext& ctx) {
  return ctx.device()->attributes().device_type() == tensorflow::DEVICE_GPU;
}

absl::Status Visit::begin(tensorflow::OpKernelContext* ctx, Space& space) {
  if (!on_gpu(*ctx)) return absl::OkStatus();
  stream_executor::Stream* const stream = ctx->op_device_context()->stream();
  if (const int number = stream->parent()->device_ordinal(); number > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(ctx->op_kernel().type_string(), ": expected the first GPU that the process sees, got number ",
                     number, "; start it with CUDA_VISIBLE_DEVICES=", number, " in its environment, and use '/gpu:0'"));
  }
  Neighbour* const neighbour = neighbour_of(stream->platform_specific_handle().stream,
                                            ctx->device()->GetAllocator(tensorflow::AllocatorAttributes()));
  try {
    space.follow(*neighbour);
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat(ctx->op_kernel().type_string(), ": ", e.what()));
  }
  space_ = &space, neighbour_ = neighbour;
  return absl::OkStatus();
}

Visit::~Visit() {
  if (!space_) return;
  try {
    space_->lead(*neighbour_);
  } catch (const std::exception& e) {  // the GPU has failed, which whoever uses it next is told as well
    LOG(ERROR) << "NengoDL: " << e.what();
  }
}

}  // namespace nengo_dl
