// The functions of CUDA's that the host calls, for the threads of threads.cpp and the memory of far_space.h.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "cuda_runtime.h"
#include "helpers/cublas_double.h"
#include "helpers/far_gpu_memory.h"

namespace host_gpu {

struct Stream {
  std::deque<std::function<void()>> due;
  int64_t done = 0;
  int64_t end() const { return done + static_cast<int64_t>(due.size()); }
};

struct Event {
  Stream* stream = nullptr;  // none: it was never recorded, and has come to pass
  int64_t place = 0;
  std::shared_ptr<double> seconds = std::make_shared<double>(0);  // when it came to pass
};

namespace {

std::recursive_mutex& lock() {
  static auto* const made = new std::recursive_mutex;
  return *made;
}
using Hold = std::lock_guard<std::recursive_mutex>;

std::set<const Stream*>& own_streams() {
  static auto* const made = new std::set<const Stream*>;
  return *made;
}

// Of the stand-in for TensorFlow's GPU, whose threads do what it was told.
bool is_foreign(const Stream* stream) { return own_streams().count(stream) == 0; }

#ifdef __SANITIZE_ADDRESS__
// A block of the sanitizer's for each, which sees who goes beyond it; the host may touch it.
struct Memory {
  void* allocate(int64_t bytes) { return std::memset(std::malloc(bytes), 0xff, bytes); }
  void release(void* block, int64_t) { std::free(block); }
  void copy_in(const void* host, void* to, int64_t bytes) { std::memcpy(to, host, bytes); }
  void copy_out(const void* from, void* host, int64_t bytes) { std::memcpy(host, from, bytes); }
  void copy_rows(const void* from, int64_t, void* to, int64_t, int64_t bytes, int64_t) { std::memcpy(to, from, bytes); }
  void zero(void* at, int64_t bytes) { std::memset(at, 0, bytes); }
  void wait_for_streams() {}
  void note_visit(bool) {}
};
struct Open {
  explicit Open(Memory&) {}
};
Memory& memory() {
  static Memory made;
  return made;
}
#else
using Open = nengo_dl::FarSpace::Open;
nengo_dl::FarSpace& memory() { return nengo_dl::far_space(); }
#endif

void go_on(Stream* stream, int64_t place) {
  while (stream->done < place) {
    const std::function<void()> next = std::move(stream->due.front());
    stream->due.pop_front();
    ++stream->done;
    next();
  }
}
void come_to_pass(const Event& event) {
  if (event.stream) go_on(event.stream, event.place);
}

double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

const char* mode() {
  const char* const asked = std::getenv("NENGO_DL_HOST_GPU");
  return asked ? asked : "";
}

cudaError_t last_error = cudaSuccess;
cudaError_t failed(cudaError_t error) { return last_error = error; }

// Facts of the GPU that tests may want otherwise: NENGO_DL_HOST_GPU_ and a name in the environment.
int64_t fact(const char* name, int64_t usual) {
  const char* const asked = std::getenv(("NENGO_DL_HOST_GPU_" + std::string(name)).c_str());
  return asked ? std::atoll(asked) : usual;
}
int64_t all_bytes() {
  static const int64_t bytes = fact("MIB", 16 << 10) << 20;
  return bytes;
}
int64_t most_pitch() {
  static const int64_t bytes = fact("PITCH", INT32_MAX);
  return bytes;
}
int64_t kind() { return fact("KIND", 90); }
// Which GPU a thread means; there is one more, on which nothing can be done.
thread_local auto meant = static_cast<int>(fact("CURRENT", 0));
int64_t taken = 0, started = 0, launched_of_all = 0, blocks_left = -1;
std::map<void*, int64_t>& sizes() {
  static auto* const made = new std::map<void*, int64_t>;
  return *made;
}

// Memory of the host that was asked for to stay in its place: the GPU copies from and to it when the stream comes to
// it.
std::map<const char*, size_t>& staying() {
  static auto* const made = new std::map<const char*, size_t>;
  return *made;
}
bool stays(const char* at) {
  const auto after = staying().upper_bound(at);
  return after != staying().begin() && at < std::prev(after)->first + std::prev(after)->second;
}

// Rows of one side, wherever it is: what is on the host is read and written by who calls.
struct Rows {
  char* first;
  size_t distance;
};

void copy_now(Rows to, Rows from, size_t bytes, size_t rows, cudaMemcpyKind kind) {
  for (size_t r = 0; r < rows; ++r) {
    char *const t = to.first + r * to.distance, *const f = from.first + r * from.distance;
    const auto n = static_cast<int64_t>(bytes);
    if (kind == cudaMemcpyHostToDevice)
      memory().copy_in(f, t, n);
    else if (kind == cudaMemcpyDeviceToHost)
      memory().copy_out(f, t, n);
    else
      memory().copy_rows(f, n, t, n, n, 1);
  }
}

// What comes from other memory of the host has been read when this returns, what goes there has been written.
void copy(Rows to, Rows from, size_t bytes, size_t rows, cudaMemcpyKind kind, Stream* stream) {
  if (kind == cudaMemcpyHostToDevice && !stays(from.first)) {
    auto kept = std::make_shared<std::vector<char>>(bytes * rows);
    for (size_t r = 0; r < rows; ++r) std::memcpy(kept->data() + r * bytes, from.first + r * from.distance, bytes);
    return enqueue(stream, [=] { copy_now(to, {kept->data(), bytes}, bytes, rows, kind); });
  }
  enqueue(stream, [=] { copy_now(to, from, bytes, rows, kind); });
  if (kind == cudaMemcpyDeviceToHost && !stays(to.first)) go_on(stream, stream->end());
}

}  // namespace

void enqueue(Stream* stream, std::function<void()> f) {
  const Hold hold(lock());
  stream->due.push_back(std::move(f));
  if (std::strcmp(mode(), "early") == 0) go_on(stream, stream->end());
}

static void enqueue_open(Stream* stream, std::function<void()> f) {
  enqueue(stream, [f = std::move(f)] {
    const Open open(memory());
    f();
  });
}

int64_t processors() { return fact("PROCESSORS", 32); }
int64_t clusters(int64_t size) { return fact("CLUSTERS", processors() / size); }
bool has_ptx() { return fact("PTX", 1) != 0; }

bool start(Stream* stream, const Launch& launch) {
  const int64_t all = int64_t{launch.blocks.x} * launch.blocks.y;
  const bool good = launch.blocks.x > 0 && launch.blocks.x <= 0x7fffffff && launch.blocks.y > 0 &&
                    launch.blocks.y <= 0xffff && launch.blocks.z == 1 && launch.threads > 0 &&
                    launch.threads <= kMostThreads && launch.bytes >= 0 && launch.bytes <= kBlockBytes &&
                    launch.cluster <= kMostCluster && (launch.cluster == 0 || all % launch.cluster == 0) &&
                    (!launch.together || all <= processors());
  if (!good) {
    std::fprintf(stderr, "host_gpu: no GPU takes %u x %u blocks of %lld threads with %lld bytes, cluster %lld%s\n",
                 launch.blocks.x, launch.blocks.y, static_cast<long long>(launch.threads),
                 static_cast<long long>(launch.bytes), static_cast<long long>(launch.cluster),
                 launch.together ? ", together" : "");
    return failed(cudaErrorInvalidValue), false;
  }
  if (meant != 0) return failed(cudaErrorInvalidDevice), false;
  ++started;
  if (launch.together) ++launched_of_all;
  enqueue_open(stream, [launch] { run(launch); });
  return true;
}

}  // namespace host_gpu

using namespace host_gpu;

void when_due(void* stream, std::function<void()> product) {
  enqueue_open(static_cast<Stream*>(stream), std::move(product));
}

extern "C" int64_t launched_together() { return launched_of_all; }
// From now on the GPU gives so many blocks of memory, and then none; -1: as many as there are.
extern "C" void host_gpu_blocks_left(int64_t count) { blocks_left = count; }
extern "C" int64_t host_gpu_started() { return started; }  // kernels, copies, zeros

cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return meant = device, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::snprintf(properties->name, sizeof properties->name, "a GPU on the host");
  properties->totalGlobalMem = static_cast<size_t>(all_bytes());
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      return *value = static_cast<int>(processors()), cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return *value = static_cast<int>(kBlockBytes), cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      return *value = static_cast<int>(kind() / 10), cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      return *value = static_cast<int>(kind() % 10), cudaSuccess;
    case cudaDevAttrMaxPitch:
      return *value = static_cast<int>(most_pitch()), cudaSuccess;
  }
  return failed(cudaErrorInvalidValue);
}
cudaError_t cudaDriverGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "invalid argument";
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const Hold hold(lock());
  if (meant != 0) return failed(cudaErrorInvalidDevice);
  *total = static_cast<size_t>(all_bytes()), *free = static_cast<size_t>(all_bytes() - taken);
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** at, size_t bytes) {
  const Hold hold(lock());
  if (meant != 0) return failed(cudaErrorInvalidDevice);
  if (taken + static_cast<int64_t>(bytes) > all_bytes() || blocks_left == 0) return failed(cudaErrorMemoryAllocation);
  blocks_left -= blocks_left > 0;
  *at = memory().allocate(static_cast<int64_t>(bytes));
  sizes()[*at] = static_cast<int64_t>(bytes), taken += static_cast<int64_t>(bytes);
  return cudaSuccess;
}
// Waits for all that was started, as CUDA's does.
cudaError_t cudaFree(void* at) {
  const Hold hold(lock());
  const auto found = sizes().find(at);
  if (found == sizes().end()) return failed(cudaErrorInvalidValue);
  for (const Stream* stream : own_streams()) go_on(const_cast<Stream*>(stream), stream->end());
  memory().release(at, found->second);
  taken -= found->second;
  sizes().erase(found);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** at, size_t bytes, unsigned) {
  const Hold hold(lock());
  if (meant != 0) return failed(cudaErrorInvalidDevice);
  if (blocks_left == 0) return failed(cudaErrorMemoryAllocation);
  blocks_left -= blocks_left > 0;
  staying()[static_cast<char*>(*at = std::memset(std::malloc(bytes), 0xff, bytes))] = bytes;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const Hold hold(lock());
  if (meant != 0) return failed(cudaErrorInvalidDevice);
  own_streams().insert(*stream = new Stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Hold hold(lock());
  go_on(stream, stream->end());
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Hold hold(lock());
  if (is_foreign(stream))
    come_to_pass(*event), memory().note_visit(true);
  else
    enqueue(stream, [before = *event] { come_to_pass(before); });
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  if (meant != 0) return failed(cudaErrorInvalidDevice);
  return *event = new Event, cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return cudaEventCreate(event); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (is_foreign(stream)) {
    memory().wait_for_streams(), memory().note_visit(false);
    return *event = Event(), cudaSuccess;
  }
  const Hold hold(lock());
  *event = Event();
  enqueue(stream, [seconds = event->seconds] { *seconds = clock_seconds(); });
  event->stream = stream, event->place = stream->end();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Hold hold(lock());
  return come_to_pass(*event), cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t before, cudaEvent_t after) {
  *milliseconds = static_cast<float>(1e3 * (*after->seconds - *before->seconds));
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* at, int value, size_t bytes, cudaStream_t stream) {
  const Hold hold(lock());
  if (value != 0) return failed(cudaErrorInvalidValue);
  if (meant != 0) return failed(cudaErrorInvalidDevice);
  ++started;
  enqueue(stream, [=] { memory().zero(at, static_cast<int64_t>(bytes)); });
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_distance, const void* from, size_t from_distance, size_t bytes,
                              size_t rows, cudaMemcpyKind kind, cudaStream_t stream) {
  const Hold hold(lock());
  if (to_distance < bytes || from_distance < bytes) return failed(cudaErrorInvalidValue);
  if (rows > 1 && static_cast<int64_t>(std::max(to_distance, from_distance)) > most_pitch())
    return failed(cudaErrorInvalidValue);
  ++started;
  const Rows source{const_cast<char*>(static_cast<const char*>(from)), from_distance};
  copy({static_cast<char*>(to), to_distance}, source, bytes, rows, kind, stream);
  return cudaSuccess;
}
