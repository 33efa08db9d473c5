// The memory of the device, and what kernels keep there.
#pragma once

#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "engine/backend.h"
#include "engine/kernel.h"
#include "engine/space.h"

#ifdef __CUDACC__
#include "cuda/gpu.h"
#endif

namespace nengo_dl {
namespace cuda {

// Of the process: kernels and copies of all threads take effect in the order in which they are started.
Space& device_space();
int64_t device_bytes();   // how large the memory is
int64_t processors();     // of the GPU: as many large blocks run at a time
double device_seconds();  // of the last work; see Space::begin_work
// The backend of this library; kernels add themselves to it while the library is loaded.
Backend& device_backend();
// Held while the phases of an op are started: what they leave for each other belongs to one run at a time.
std::recursive_mutex& launching();

// Of a request that no memory is left for.
class NoMemory final : public std::bad_alloc {
 public:
  explicit NoMemory(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

#ifdef __CUDACC__
constexpr int kGpu = 0;  // the first that the process sees
// Where what comes next is started, after what was gathered (cuda/gathered.h). std::runtime_error in a process that was
// forked.
cudaStream_t stream();
bool has_right_engine();                           // whether the engine is of the same build as this library
std::string why_no_gpu();                          // empty: there is one that this library runs on; throws nothing
int64_t gpu_fact(cudaDeviceAttr which);            // of the GPU; std::runtime_error
void check(cudaError_t status, const char* what);  // std::runtime_error
template <class... P, class... A>
void start_kernel(void (*kernel)(P...), const Grid& grid, const A&... arguments) {
  check(start_on(stream(), kernel, grid, arguments...), "a kernel can't be started");
}
#else
// Compiled as C++, the memory may be touched only while one of these lives.
struct Open {
  Open();
  ~Open();
};
#endif

// Arrays on the device that live as long as this.
class Tables {
 public:
  template <class U>
  const U* add(const std::vector<U>& values) {
    if (values.empty()) return nullptr;
    const int64_t bytes = static_cast<int64_t>(values.size() * sizeof(U));
    U* const copy = reinterpret_cast<U*>(room(bytes));
    device_space().copy_in(values.data(), copy, bytes);
    return copy;
  }
  template <class T, class U>
  const T* add_as(const std::vector<U>& values) {
    return add(std::vector<T>(values.begin(), values.end()));
  }
  char* room(int64_t bytes) {  // not initialised
    memory_.push_back(allocate<char>(device_space(), bytes));
    return memory_.back().get();
  }
  // An operand whose offsets lie on the device.
  View view(const Operand& o) {
    View v(o);
    v.offsets = add(o.offsets);
    return v;
  }

 private:
  std::vector<Memory<char>> memory_;
};

// Memory that is kept from call to call, and is other memory once more of it is asked for.
template <class T>
class Growing {
 public:
  T* at_least(int64_t count) {
    if (count > count_) {
      count_ = 0;  // should there be no more
      memory_.reset();
      memory_ = allocate<T>(device_space(), count), count_ = count;
    }
    return memory_.get();
  }
  int64_t count() const { return count_; }

 private:
  Memory<T> memory_;
  int64_t count_ = 0;
};

// How many arrays a frame has.
struct FrameSizes {
  size_t buffers, inputs, outputs;
  explicit FrameSizes(const Program& p)
      : buffers(p.buffers.size()), inputs(p.inputs.size()), outputs(p.outputs.size()) {}
};

// The same frame with its arrays on the device, until so many others have been asked for that nobody can want it.
template <class T>
Frame<T> on_device(const Frame<T>& frame, const FrameSizes& sizes);
template <class T>
GradFrame<T> on_device(const GradFrame<T>& frame, const FrameSizes& sizes);

}  // namespace cuda
}  // namespace nengo_dl
