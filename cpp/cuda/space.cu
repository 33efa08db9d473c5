// The memory of the GPU. What is released is kept for the next run: asking the driver takes as long as many kernels.
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cuda/device.h"
#include "cuda/phase.h"
#include "cuda/tiling.h"

namespace nengo_dl {
namespace cuda {
namespace {

constexpr int64_t kAlign = 256;  // bytes

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

template <class T>
struct FindOther {
  const T* values;
  int* found;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team&) const {
    if (values[i] != T(0)) *found = 1;
  }
};

// A block turns one tile after the other, by way of its shared memory, so that neighbours read and write neighbours.
template <class T>
__global__ void __launch_bounds__(256) turn_tiles(const T* from, int64_t rows, int64_t columns, int64_t tiles, T* to) {
  constexpr int kTile = 32, kLines = 8;
  __shared__ T tile[kTile][kTile + 1];
  const int x = threadIdx.x % kTile, y = threadIdx.x / kTile;
  const int64_t across = (columns + kTile - 1) / kTile, down = (rows + kTile - 1) / kTile;
  for (int64_t k = blockIdx.x; k < tiles; k += gridDim.x) {
    const int64_t column = k % across * kTile, row = k / across % down * kTile;
    const int64_t matrix = k / (across * down) * rows * columns;
    for (int line = y; line < kTile; line += kLines)
      if (row + line < rows && column + x < columns) tile[line][x] = from[matrix + (row + line) * columns + column + x];
    __syncthreads();
    for (int line = y; line < kTile; line += kLines)
      if (column + line < columns && row + x < rows) to[matrix + (column + line) * rows + row + x] = tile[x][line];
    __syncthreads();
  }
}

template <class T>
void turn_all(const void* from, int64_t rows, int64_t columns, int64_t count, void* to) {
  constexpr int64_t kTile = 32, kMostBlocks = 132 * 16;
  const int64_t tiles = (rows + kTile - 1) / kTile * ((columns + kTile - 1) / kTile) * count;
  if (tiles == 0) return;
  start_kernel(turn_tiles<T>, {dim3(static_cast<unsigned>(std::min(tiles, kMostBlocks))), 256},
               static_cast<const T*>(from), rows, columns, tiles, static_cast<T*>(to));
}

cudaStream_t new_stream() {
  cudaStream_t s;
  check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "a stream can't be made");
  return s;
}

cudaEvent_t new_event() {
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event can't be made");
  return event;
}

// What is started in `after` from now on waits for all that was started in `before`.
void order(cudaStream_t before, cudaStream_t after) {
  static const cudaEvent_t reached = new_event();
  const std::lock_guard<std::recursive_mutex> hold(launching());
  check(cudaEventRecord(reached, before), "an event can't be recorded");
  check(cudaStreamWaitEvent(after, reached, 0), "a stream can't be made to wait");
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
    const std::lock_guard<std::recursive_mutex> hold(launching());
    start_copy(host, host_distance, to, to_distance, bytes, rows, cudaMemcpyHostToDevice, beside());
    order(beside(), stream());
  }
  void bring_out(const void* from, int64_t from_distance, void* host, int64_t host_distance, int64_t bytes,
                 int64_t rows) override {
    start_copy(from, from_distance, host, host_distance, bytes, rows, cudaMemcpyDeviceToHost, beside());
    check(cudaStreamSynchronize(beside()), "a copy from the GPU failed");
  }
  int64_t piece_bytes() const override { return piece_size(); }
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
  void transpose(const void* from, int64_t rows, int64_t columns, int64_t count, void* to, int64_t size) override {
    if (size == 4)
      turn_all<float>(from, rows, columns, count, to);
    else
      turn_all<double>(from, rows, columns, count, to);
  }
  bool all_zero(const float* values, int64_t count) override { return only_zeros(values, count); }
  bool all_zero(const double* values, int64_t count) override { return only_zeros(values, count); }
  void add(const float* from, float* to, int64_t count) override { launch<false>(Sum<float>{from, to}, count); }
  void add(const double* from, double* to, int64_t count) override { launch<false>(Sum<double>{from, to}, count); }
  void begin_work() override { ended_ = false, mark(0); }
  void end_work() override { mark(1), ended_ = true; }
  void follow(Neighbour& neighbour) override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    order(stream_of(neighbour), stream());
    guests_.push_back(&neighbour);
  }
  // All that uses its memory was started before: the neighbour may use it again for what it starts from now on.
  void lead(Neighbour& neighbour) override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    guests_.erase(std::find(guests_.begin(), guests_.end(), &neighbour));
    order(stream(), stream_of(neighbour));
    give_back(&neighbour);
  }
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
  static cudaStream_t stream_of(const Neighbour& neighbour) { return static_cast<cudaStream_t>(neighbour.stream()); }
  template <class T>
  bool only_zeros(const T* values, int64_t count) {
    const Memory<int> found = nengo_dl::allocate<int>(*this, 1);
    int other = 0;
    zero(found.get(), sizeof other);
    launch<false>(FindOther<T>{values, found.get()}, count);
    copy_out(found.get(), &other, sizeof other);
    return !other;
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
  // From a neighbour, if there is one: TensorFlow has taken almost all that the driver had.
  void* from_neighbour(int64_t size) {
    if (guests_.empty()) return nullptr;
    void* const memory = guests_.back()->allocate(size);
    if (!memory) return nullptr;
    lent_[memory] = guests_.back();
    order(stream_of(*guests_.back()), stream());  // whoever had it before may still be at work
    return memory;
  }
  static void* new_memory(int64_t size) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, static_cast<size_t>(size)) == cudaSuccess) return memory;
    cudaGetLastError();  // it is dealt with by the caller
    return nullptr;
  }
  void* from_driver(int64_t size) {
    stream();  // a process that was forked is told
    if (void* const memory = from_neighbour(size)) return memory;
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "the GPU's memory can't be asked for");
    check_fits(size, static_cast<int64_t>(total));
    if (void* const memory = new_memory(size)) return memory;
    wait();
    give_back(nullptr);
    if (void* const memory = from_neighbour(size)) return memory;
    if (void* const memory = new_memory(size)) return memory;
    throw std::bad_alloc();
  }
  // Large blocks that nobody uses, to where they came from: those of a neighbour, or all.
  void give_back(const Neighbour* owner) {
    for (auto blocks = spare_.lower_bound(kLarge); blocks != spare_.end(); ++blocks) {
      std::vector<void*> kept;
      for (void* memory : blocks->second) {
        const auto lent = lent_.find(memory);
        if (owner && (lent == lent_.end() || lent->second != owner)) {
          kept.push_back(memory);
        } else if (lent != lent_.end()) {
          lent->second->release(memory);
          lent_.erase(lent);
        } else {
          check(cudaFree(memory), "memory can't be given back");
        }
      }
      blocks->second = std::move(kept);
    }
  }

  std::map<int64_t, std::vector<void*>> spare_;  // by size
  std::vector<Neighbour*> guests_;               // that were followed and not yet led
  std::map<void*, Neighbour*> lent_;             // memory from them
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
