// The memory of the GPU. What is released is kept for the next run: asking the driver takes as long as many kernels.
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <new>
#include <stdexcept>
#include <string>

#include "cuda/device.h"
#include "cuda/phase.h"
#include "cuda/tiling.h"

namespace nengo_dl {
namespace cuda {
namespace {

constexpr int64_t kAlign = 256, kLarge = 1 << 20, kSlab = 32 << 20;  // bytes
constexpr int64_t kPiece = 64 << 20;                                 // some milliseconds of a bus

template <class T>
struct Sum {
  const T* from;
  T* to;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team&) const {
    to[i] += from[i];
  }
};

template <class T>
struct Zero {
  T* first;
  const int64_t* elements;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team&) const {
    first[elements[i]] = 0;
  }
};

cudaStream_t new_stream() {
  cudaStream_t s;
  check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "a stream can't be made");
  return s;
}

// For copies beside what `stream` runs.
cudaStream_t beside() {
  static const cudaStream_t made = (stream(), new_stream());
  return made;
}

class CudaSpace final : public Space {
 public:
  bool on_host() const override { return false; }

  void* allocate(int64_t bytes) override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    const int64_t size = rounded(bytes);
    auto& spare = spare_[size];
    if (!spare.empty()) {
      void* const memory = spare.back();
      spare.pop_back();
      return memory;
    }
    return size < kLarge ? part_of_slab(size) : from_driver(size);
  }
  // All that was started before uses the memory before what its next owner starts: there is one stream.
  void release(void* memory, int64_t bytes) override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    spare_[rounded(bytes)].push_back(memory);
  }

  void copy_rows(const void* from, int64_t from_distance, void* to, int64_t to_distance, int64_t bytes,
                 int64_t rows) override {
    start_copy(from, from_distance, to, to_distance, bytes, rows, cudaMemcpyDeviceToDevice, stream());
  }
  // From memory that may change as soon as this returns, which the driver sees to.
  void copy_in(const void* host, void* to, int64_t bytes) override {
    check(cudaMemcpyAsync(to, host, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream()),
          "a copy to the GPU failed");
  }
  void copy_out(const void* from, void* host, int64_t bytes) override {
    check(cudaMemcpyAsync(host, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream()),
          "a copy from the GPU failed");
    wait();
  }
  // From and to pageable memory the driver copies while the caller waits, and the GPU goes on with what was started.
  void bring_in(const void* host, int64_t host_distance, void* to, int64_t to_distance, int64_t bytes,
                int64_t rows) override {
    static const cudaEvent_t brought = [] {
      cudaEvent_t event;
      check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event can't be made");
      return event;
    }();
    const std::lock_guard<std::recursive_mutex> hold(launching());
    start_copy(host, host_distance, to, to_distance, bytes, rows, cudaMemcpyHostToDevice, beside());
    check(cudaEventRecord(brought, beside()), "a copy to the GPU failed");
    check(cudaStreamWaitEvent(stream(), brought, 0), "a copy to the GPU failed");
  }
  void bring_out(const void* from, int64_t from_distance, void* host, int64_t host_distance, int64_t bytes,
                 int64_t rows) override {
    start_copy(from, from_distance, host, host_distance, bytes, rows, cudaMemcpyDeviceToHost, beside());
    check(cudaStreamSynchronize(beside()), "a copy from the GPU failed");
  }
  int64_t piece_bytes() const override { return kPiece; }
  void zero(void* memory, int64_t bytes) override {
    check(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), stream()), "zeroing memory failed");
  }
  void zero_elements(void* first, const std::vector<int64_t>& elements, int64_t size) override {
    if (elements.empty()) return;
    const std::lock_guard<std::recursive_mutex> hold(launching());
    Tables list;
    const int64_t* const there = list.add(elements);
    const auto count = static_cast<int64_t>(elements.size());
    if (size == 4)
      launch<false>(Zero<float>{static_cast<float*>(first), there}, count);
    else
      launch<false>(Zero<double>{static_cast<double*>(first), there}, count);
  }
  void add(const float* from, float* to, int64_t count) override { launch<false>(Sum<float>{from, to}, count); }
  void add(const double* from, double* to, int64_t count) override { launch<false>(Sum<double>{from, to}, count); }
  void begin_work() override { ended_ = false, mark(0); }
  void end_work() override { mark(1), ended_ = true; }
  void wait() override { check(cudaStreamSynchronize(stream()), "a kernel failed"); }

  double seconds() {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    if (!ended_)
      throw std::runtime_error(
          "the CUDA backend: expected a run or gradient on the GPU before, got none or a failed one");
    float milliseconds = 0;
    check(cudaEventSynchronize(marks_[1]), "a kernel failed");
    check(cudaEventElapsedTime(&milliseconds, marks_[0], marks_[1]), "events can't be compared");
    return 1e-3 * milliseconds;
  }

 private:
  static void start_copy(const void* from, int64_t from_distance, void* to, int64_t to_distance, int64_t bytes,
                         int64_t rows, cudaMemcpyKind kind, cudaStream_t on) {
    if (from_distance == bytes && to_distance == bytes) bytes *= rows, rows = 1;
    if (rows == 1) return check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, on), "a copy failed");
    check(cudaMemcpy2DAsync(to, static_cast<size_t>(to_distance), from, static_cast<size_t>(from_distance),
                            static_cast<size_t>(bytes), static_cast<size_t>(rows), kind, on),
          "a copy failed");
  }
  void mark(int i) {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    if (!marks_[i]) check(cudaEventCreate(&marks_[i]), "an event can't be made");
    check(cudaEventRecord(marks_[i], stream()), "an event can't be recorded");
  }
  // Few sizes, so that what one run releases fits the next.
  static int64_t rounded(int64_t bytes) {
    bytes = std::max<int64_t>(bytes, 1);
    const int64_t unit = bytes < kLarge ? kAlign : kLarge;
    if (bytes > INT64_MAX - unit) throw std::bad_alloc();
    return (bytes + unit - 1) / unit * unit;
  }
  void* part_of_slab(int64_t size) {
    if (left_ < size) slab_ = static_cast<char*>(from_driver(kSlab)), left_ = kSlab;
    char* const memory = slab_;
    slab_ += size, left_ -= size;
    return memory;
  }
  void* from_driver(int64_t size) {
    stream();  // a process that was forked is told
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "the GPU's memory can't be asked for");
    check_fits(size, static_cast<int64_t>(total));
    void* memory = nullptr;
    if (cudaMalloc(&memory, static_cast<size_t>(size)) == cudaSuccess) return memory;
    cudaGetLastError();  // it is dealt with here
    give_back();
    if (cudaMalloc(&memory, static_cast<size_t>(size)) == cudaSuccess) return memory;
    cudaGetLastError();
    throw std::bad_alloc();
  }
  // Large blocks that nobody uses, to the driver.
  void give_back() {
    wait();
    for (auto& [size, blocks] : spare_) {
      if (size < kLarge) continue;
      for (void* memory : blocks) check(cudaFree(memory), "memory can't be given back");
      blocks.clear();
    }
  }

  std::map<int64_t, std::vector<void*>> spare_;  // by size
  char* slab_ = nullptr;                         // the rest of the latest one
  int64_t left_ = 0;
  cudaEvent_t marks_[2] = {};  // where the last work began and ended
  std::atomic<bool> ended_{false};
};

bool has_gpu() {
  int count = 0;
  const bool found = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  cudaGetLastError();  // no driver is no error
  return found;
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
}

// In the child of a process that has used the GPU nothing of it works.
static bool is_forked = false;

cudaStream_t stream() {
  if (is_forked)
    throw std::runtime_error(
        "CUDA: expected the process that loaded the backend, got one that was forked from it; use the GPU in the "
        "first, "
        "or start others with multiprocessing.get_context('spawn')");
  static const cudaStream_t made = new_stream();
  return made;
}

std::recursive_mutex& launching() {
  static auto* const lock = new std::recursive_mutex;  // never destroyed, like what follows
  return *lock;
}

int64_t device_bytes() {
  static const int64_t bytes = [] {
    stream();
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "the GPU's memory can't be asked for");
    return static_cast<int64_t>(total);
  }();
  return bytes;
}

static CudaSpace& cuda_space() {
  static auto* const space = new CudaSpace;
  return *space;
}
Space& device_space() { return cuda_space(); }
double device_seconds() { return cuda_space().seconds(); }

// Where there is no GPU, or the engine is of another build, kernels add themselves to a backend that nobody finds.
Backend& device_backend() {
  static Backend* const backend = [] {
    auto made = std::make_unique<Backend>("cuda", device_space(), device_tiling());
    Backend* const kept = made.get();
    if (has_right_engine() && has_gpu())
      add_backend(std::move(made)), pthread_atfork(nullptr, nullptr, [] { is_forked = true; });
    else
      made.release();
    return kept;
  }();
  return *backend;
}

}  // namespace cuda
}  // namespace nengo_dl
