// The memory of the GPU. What is released is kept for the next run: asking the driver takes as long as many kernels.
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cuda/device.h"
#include "cuda/gathered.h"
#include "cuda/space_kernels.h"
#include "cuda/staging.h"
#include "cuda/tiling.h"

namespace nengo_dl {
namespace cuda {
namespace {

constexpr int64_t kAlign = 256;  // bytes

cudaStream_t new_stream() {
  cudaStream_t s;
  check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "a stream can't be made");
  return s;
}

// In the child of a process that has used the GPU nothing of it works.
bool is_forked = false;

// Before any lock, which a thread may hold that this process doesn't have.
void refuse_in_child() {
  if (is_forked)
    throw std::runtime_error(
        "CUDA: expected the process that loaded the backend, got one that was forked from it; use the GPU in the "
        "first, or start others with multiprocessing.get_context('spawn')");
}

cudaStream_t bare_stream() {
  refuse_in_child();
  check(cudaSetDevice(kGpu), "the GPU can't be used");  // TensorFlow, for one, may have turned the thread to another
  static const cudaStream_t made = new_stream();
  return made;
}

cudaEvent_t new_event() {
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event can't be made");
  return event;
}

// What is started in `after` from now on waits for all that was started in `before`.
void order(cudaStream_t before, cudaStream_t after) {
  bare_stream();
  static const cudaEvent_t reached = new_event();
  const std::lock_guard<std::recursive_mutex> hold(launching());
  check(cudaEventRecord(reached, before), "an event can't be recorded");
  check(cudaStreamWaitEvent(after, reached, 0), "a stream can't be made to wait");
}

// For copies beside what `stream` runs.
cudaStream_t beside() {
  static const cudaStream_t made = (bare_stream(), new_stream());  // while it is made no lock is waited for
  return made;
}

NoMemory no_room(int64_t asked, size_t free, size_t total) {
  const auto mib = [](size_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; };
  return NoMemory("CUDA: expected " + mib(static_cast<size_t>(asked)) + " of the GPU's memory for a run, got " +
                  mib(free) + " that are free of " + mib(total) +
                  "; use fewer items per minibatch, end other programs that use the GPU, or run on device='/cpu:0'");
}

class CudaSpace final : public Space {
 public:
  bool on_host() const override { return false; }

  void* allocate(int64_t bytes) override {
    refuse_in_child();
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
    if (is_forked) return;  // it is the first process's
    const std::lock_guard<std::recursive_mutex> hold(launching());
    const int64_t size = rounded(bytes);
    if (size < kLarge || !goes_home(memory)) spare_[size].push_back(memory);
  }

  void copy_rows(const void* from, int64_t from_distance, void* to, int64_t to_distance, int64_t bytes,
                 int64_t rows) override {
    if (!gather(from, from_distance, to, to_distance, bytes, rows))
      start_copy(source(from, from_distance), target(to, to_distance), bytes, rows, cudaMemcpyDeviceToDevice, stream());
  }
  // From memory that may change as soon as this returns.
  void copy_in(const void* host, void* to, int64_t bytes) override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    if (gathered_.add_upload(host, to, bytes, bare_stream())) return;
    coming_.copy_in(source(host, bytes), target(to, bytes), bytes, 1, stream());
  }
  void copy_out(const void* from, void* host, int64_t bytes) override {
    going_.copy_out(source(from, bytes), target(host, bytes), bytes, 1, stream());
  }
  void copy_all_out(const std::vector<Outgoing>& all) override {
    std::vector<std::pair<Outgoing, int64_t>> small;  // and where they lie together
    int64_t bytes = 0;
    for (const Outgoing& one : all) {
      if (one.bytes > kSmall) {
        copy_out(one.from, one.host, one.bytes);
      } else {
        small.emplace_back(one, bytes);
        bytes += (one.bytes + 7) / 8 * 8;
      }
    }
    if (small.size() == 1) return copy_out(small[0].first.from, small[0].first.host, small[0].first.bytes);
    if (small.empty()) return;
    const Memory<char> together = nengo_dl::allocate<char>(*this, bytes);
    for (const auto& [one, at] : small) copy(static_cast<const char*>(one.from), together.get() + at, one.bytes);
    std::vector<char> here(static_cast<size_t>(bytes));
    copy_out(together.get(), here.data(), bytes);
    for (const auto& [one, at] : small) std::memcpy(one.host, here.data() + at, static_cast<size_t>(one.bytes));
  }
  // While the caller waits the GPU goes on with what was started.
  void bring_in(const void* host, int64_t host_distance, void* to, int64_t to_distance, int64_t bytes,
                int64_t rows) override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    coming_.copy_in(source(host, host_distance), target(to, to_distance), bytes, rows, beside());
    order(beside(), stream());
  }
  void bring_out(const void* from, int64_t from_distance, void* host, int64_t host_distance, int64_t bytes,
                 int64_t rows) override {
    going_.copy_out(source(from, from_distance), target(host, host_distance), bytes, rows, beside());
  }
  int64_t piece_bytes() const override { return piece_size(); }
  void zero(void* memory, int64_t bytes) override {
    if (!gather(nullptr, 0, memory, 0, bytes, 1))
      check(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), stream()), "zeroing memory failed");
  }
  void zero_elements(void* first, int64_t items, int64_t distance, const std::vector<int64_t>& elements,
                     int64_t size) override {
    if (elements.empty()) return;
    const std::lock_guard<std::recursive_mutex> hold(launching());
    Tables list;
    const int64_t* const there = list.add(elements);
    const auto count = static_cast<int64_t>(elements.size());
    const auto start = [&](auto zero) { launch<false>(zero, items * count); };
    if (size == 4)
      start(Zero<float>{static_cast<char*>(first), distance, there, count});
    else
      start(Zero<double>{static_cast<char*>(first), distance, there, count});
  }
  void transpose(const void* from, int64_t rows, int64_t columns, int64_t count, void* to, int64_t size) override {
    if (size == 4)
      turn_all<float>(from, rows, columns, count, to);
    else
      turn_all<double>(from, rows, columns, count, to);
  }
  std::vector<bool> all_zero(const std::vector<Values<float>>& arrays) override { return only_zeros(arrays); }
  std::vector<bool> all_zero(const std::vector<Values<double>>& arrays) override { return only_zeros(arrays); }
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

  void start_gathered(cudaStream_t on) {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    gathered_.start(on);
  }

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
  static constexpr int64_t kSmall = 8 << 10;  // bytes that are worth going together with others

  bool gather(const void* from, int64_t from_distance, void* to, int64_t to_distance, int64_t bytes, int64_t rows) {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    return gathered_.add(from, from_distance, to, to_distance, bytes, rows, bare_stream());
  }
  static cudaStream_t stream_of(const Neighbour& neighbour) { return static_cast<cudaStream_t>(neighbour.stream()); }
  template <class T>
  std::vector<bool> only_zeros(const std::vector<Values<T>>& arrays) {  // waited for once
    if (arrays.empty()) return {};
    const auto count = static_cast<int64_t>(arrays.size()), bytes = count * int64_t{sizeof(int)};
    const Memory<int> found = nengo_dl::allocate<int>(*this, count);
    zero(found.get(), bytes);
    for (int64_t i = 0; i < count; ++i) launch<false>(FindOther<T>{arrays[i].at, found.get() + i}, arrays[i].count);
    std::vector<int> others(arrays.size());
    copy_out(found.get(), others.data(), bytes);
    std::vector<bool> zeros;
    for (int other : others) zeros.push_back(!other);
    return zeros;
  }
  void mark(int i) {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    const cudaStream_t on = stream();
    if (!marks_[i]) check(cudaEventCreate(&marks_[i]), "an event can't be made");
    check(cudaEventRecord(marks_[i], on), "an event can't be recorded");
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
    if (void* const memory = new_memory(size)) return memory;
    wait();
    give_back(nullptr);
    if (void* const memory = from_neighbour(size)) return memory;
    if (void* const memory = new_memory(size)) return memory;
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "the GPU's memory can't be asked for");
    throw no_room(size, free, total);
  }
  // Gives memory back to a neighbour that isn't followed, and so may not come by again.
  bool goes_home(void* memory) {
    const auto lent = lent_.find(memory);
    if (lent == lent_.end() || std::find(guests_.begin(), guests_.end(), lent->second) != guests_.end()) return false;
    Neighbour& owner = *lent->second;
    try {
      order(stream(), stream_of(owner));
    } catch (const std::runtime_error&) {  // of a GPU that has failed: whoever uses it next is told
      return false;
    }
    owner.release(memory);
    lent_.erase(lent);
    return true;
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

  Gathered gathered_;
  Staging coming_, going_;
  std::map<int64_t, std::vector<void*>> spare_;  // by size
  std::vector<Neighbour*> guests_;               // that were followed and not yet led
  std::map<void*, Neighbour*> lent_;             // memory from them
  char* slab_ = nullptr;                         // the rest of the latest one
  int64_t left_ = 0;
  cudaEvent_t marks_[2] = {};  // where the last work began and ended
  std::atomic<bool> ended_{false};
};

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
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
cudaStream_t stream() {
  const cudaStream_t made = bare_stream();  // a process that was forked is told before it waits for a lock
  cuda_space().start_gathered(made);
  return made;
}
Space& device_space() { return cuda_space(); }
double device_seconds() { return cuda_space().seconds(); }

// Where there is no GPU, or the engine is of another build, kernels add themselves to a backend that nobody finds.
Backend& device_backend() {
  static Backend* const backend = [] {
    auto made = std::make_unique<Backend>("cuda", device_space(), device_tiling());
    Backend* const kept = made.get();
    if (has_right_engine() && why_no_gpu().empty())
      add_backend(std::move(made)), pthread_atfork(nullptr, nullptr, [] { is_forked = true; });
    else
      made.release();
    return kept;
  }();
  return *backend;
}

}  // namespace cuda
}  // namespace nengo_dl
