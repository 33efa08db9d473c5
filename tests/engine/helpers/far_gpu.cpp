// A stand-in for a GPU, for machines without one: a TensorFlow plugin with one device of type "GPU", whose memory the
// host can't reach. Loading it (load_pluggable_device_library) adds the device; the library that it is linked against
// gives the memory. Streams are threads that take their time, so whoever doesn't wait for one sees old values.
#include <tensorflow/c/experimental/stream_executor/stream_executor.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

extern "C" {  // of the library that gives the memory
void* far_gpu_allocate(int64_t bytes);
void far_gpu_release(void* memory, int64_t bytes);
void far_gpu_copy(void* to, const void* from, int64_t bytes, int kind);  // one of Way; blocks until done
void far_gpu_fill(void* memory, int value, int64_t bytes);
}

enum Way { kIn, kOut, kWithin };  // from the host, to the host, from the device to the device

struct SP_Stream_st {
  std::deque<std::function<void()>> tasks;  // that nobody has begun
  int64_t queued = 0, done = 0;             // tasks since the stream was made
  bool closed = false;
  std::string failure;  // of its first callback that failed
};

// A place in a stream: behind the tasks that it had then.
struct Point {
  SP_Stream stream = nullptr;
  int64_t tasks = 0;
  bool passed() const { return !stream || stream->done >= tasks; }
};

struct SP_Event_st {
  Point recorded;  // an event that was never recorded is complete
};

struct SP_Timer_st {  // start and stop: the tasks that set them may come later than the timer's end
  using Times = std::array<std::chrono::steady_clock::time_point, 2>;
  std::shared_ptr<Times> times = std::make_shared<Times>();
};

namespace {

constexpr std::chrono::milliseconds kPause{2};                      // before each task
constexpr int64_t kAlign = 256, kReportedBytes = int64_t{1} << 32;  // as a GPU's; nobody takes it at once
constexpr const char *kPlatform = "FAR_GPU", *kType = "GPU";

// One lock guards streams, events and blocks. No task and none of TensorFlow's functions runs under it.
class Gpu {
 public:
  SP_Stream add_stream() {
    const Lock hold(lock_);
    SP_Stream stream = &streams_.emplace_back();
    std::thread([this, stream] { work(stream); }).detach();
    return stream;
  }
  void close(SP_Stream stream) {
    const Lock hold(lock_);
    stream->closed = true;
    changed_.notify_all();
  }
  void enqueue(SP_Stream stream, std::function<void()> task) {
    const Lock hold(lock_);
    stream->tasks.push_back(std::move(task));
    ++stream->queued;
    changed_.notify_all();
  }

  Point end_of(SP_Stream stream) {
    const Lock hold(lock_);
    return {stream, stream->queued};
  }
  void record(SP_Stream stream, SP_Event event) {
    const Lock hold(lock_);
    event->recorded = {stream, stream->queued};
  }
  Point point_of(SP_Event event) {
    const Lock hold(lock_);
    return event->recorded;
  }
  bool passed(const Point& point) {
    const Lock hold(lock_);
    return point.passed();
  }
  // Streams wait only for what was queued before they were told to wait, so they can't wait for each other.
  void wait(const Point& point) {
    Lock hold(lock_);
    changed_.wait(hold, [&] { return point.passed(); });
  }
  void wait_for_all() {
    Lock hold(lock_);
    const std::vector<Point> points = ends();
    changed_.wait(hold, [&] { return all_passed(points); });
  }
  void fail(SP_Stream stream, const std::string& why) {
    const Lock hold(lock_);
    if (stream->failure.empty()) stream->failure = why;
  }
  std::string failure(SP_Stream stream) {
    const Lock hold(lock_);
    return stream->failure;
  }

  void* allocate(int64_t bytes) {
    void* const memory = far_gpu_allocate(bytes + kAlign);
    if (!memory) return nullptr;
    const auto address = reinterpret_cast<uintptr_t>(memory);
    void* const aligned = static_cast<char*>(memory) + (kAlign - address % kAlign) % kAlign;
    const Lock hold(lock_);
    blocks_[aligned] = {memory, bytes + kAlign, {}};
    return aligned;
  }
  // TensorFlow doesn't wait for streams that still use the block.
  void release(void* aligned) {
    const Lock hold(lock_);
    auto block = blocks_.extract(aligned);
    if (block.empty()) std::abort();  // nobody has allocated it, or somebody has released it
    block.mapped().users = ends();
    leaving_.push_back(std::move(block.mapped()));
    release_unused();
  }
  int64_t allocations() {
    const Lock hold(lock_);
    return static_cast<int64_t>(blocks_.size());
  }

  void copy(void* to, const void* from, uint64_t bytes, Way way) {
    far_gpu_copy(to, from, static_cast<int64_t>(bytes), way);
    if (way != kWithin) ++copies;
  }
  std::atomic<int64_t> copies{0};  // between host and device

 private:
  using Lock = std::unique_lock<std::mutex>;
  struct Block {
    void* memory;
    int64_t bytes;
    std::vector<Point> users;  // of a block that has been released
  };

  void work(SP_Stream stream) {
    Lock hold(lock_);
    while (true) {
      changed_.wait(hold, [&] { return stream->closed || !stream->tasks.empty(); });
      if (stream->tasks.empty()) return;
      std::function<void()> task = std::move(stream->tasks.front());
      stream->tasks.pop_front();
      hold.unlock();
      std::this_thread::sleep_for(kPause);
      task();
      task = nullptr;
      hold.lock();
      ++stream->done;
      release_unused();
      changed_.notify_all();
    }
  }

  // The rest is called with the lock held.
  std::vector<Point> ends() {
    std::vector<Point> points;
    for (SP_Stream_st& stream : streams_) points.push_back({&stream, stream.queued});
    return points;
  }
  static bool all_passed(const std::vector<Point>& points) {
    return std::all_of(points.begin(), points.end(), [](const Point& point) { return point.passed(); });
  }
  void release_unused() {
    const auto unused =
        std::partition(leaving_.begin(), leaving_.end(), [](const Block& b) { return !all_passed(b.users); });
    for (auto block = unused; block != leaving_.end(); ++block) far_gpu_release(block->memory, block->bytes);
    leaving_.erase(unused, leaving_.end());
  }

  std::mutex lock_;
  std::condition_variable changed_;
  std::list<SP_Stream_st> streams_;  // closed ones stay, as events may name them
  std::map<void*, Block> blocks_;    // by the address that TensorFlow knows
  std::vector<Block> leaving_;
};

Gpu& gpu() {
  static auto* const only = new Gpu;  // threads still use it while the process ends
  return *only;
}

// ---- what TensorFlow calls

void allocate(const SP_Device*, uint64_t size, int64_t, SP_DeviceMemoryBase* memory) {
  *memory = {SP_DEVICE_MEMORY_BASE_STRUCT_SIZE, nullptr, nullptr, size, 0};
  try {
    memory->opaque = gpu().allocate(static_cast<int64_t>(size));
  } catch (const std::exception&) {  // there is no room; TensorFlow says so
  }
}
void deallocate(const SP_Device*, SP_DeviceMemoryBase* memory) {
  if (memory->opaque) gpu().release(memory->opaque);
  memory->opaque = nullptr;
}
void* allocate_on_host(const SP_Device*, uint64_t size) {
  return std::aligned_alloc(kAlign, (size + kAlign - 1) / kAlign * kAlign);
}
void deallocate_on_host(const SP_Device*, void* memory) { std::free(memory); }
TF_Bool no_stats(const SP_Device*, SP_AllocatorStats*) { return 0; }
TF_Bool memory_usage(const SP_Device*, int64_t* free, int64_t* total) {
  *free = *total = kReportedBytes;
  return 1;
}

void create_stream(const SP_Device*, SP_Stream* stream, TF_Status*) { *stream = gpu().add_stream(); }
void destroy_stream(const SP_Device*, SP_Stream stream) { gpu().close(stream); }
void stream_status(const SP_Device*, SP_Stream stream, TF_Status* status) {
  const std::string failure = gpu().failure(stream);
  if (!failure.empty()) TF_SetStatus(status, TF_INTERNAL, failure.c_str());
}
void wait_for_point(SP_Stream stream, const Point& point) {
  gpu().enqueue(stream, [point] { gpu().wait(point); });
}
void wait_for_stream(const SP_Device*, SP_Stream dependent, SP_Stream other, TF_Status*) {
  wait_for_point(dependent, gpu().end_of(other));
}
void wait_for_event(const SP_Device*, SP_Stream stream, SP_Event event, TF_Status*) {
  wait_for_point(stream, gpu().point_of(event));
}

void create_event(const SP_Device*, SP_Event* event, TF_Status*) { *event = new SP_Event_st; }
void destroy_event(const SP_Device*, SP_Event event) { delete event; }
void record_event(const SP_Device*, SP_Stream stream, SP_Event event, TF_Status*) { gpu().record(stream, event); }
SE_EventStatus event_status(const SP_Device*, SP_Event event) {
  return gpu().passed(gpu().point_of(event)) ? SE_EVENT_COMPLETE : SE_EVENT_PENDING;
}

void block_for_event(const SP_Device*, SP_Event event, TF_Status*) { gpu().wait(gpu().point_of(event)); }
void block_for_stream(const SP_Device* device, SP_Stream stream, TF_Status* status) {
  gpu().wait(gpu().end_of(stream));
  stream_status(device, stream, status);
}
void block_for_all(const SP_Device*, TF_Status*) { gpu().wait_for_all(); }

void create_timer(const SP_Device*, SP_Timer* timer, TF_Status*) { *timer = new SP_Timer_st; }
void destroy_timer(const SP_Device*, SP_Timer timer) { delete timer; }
void start_timer(const SP_Device*, SP_Stream stream, SP_Timer timer, TF_Status*) {
  gpu().enqueue(stream, [times = timer->times] { times->front() = std::chrono::steady_clock::now(); });
}
void stop_timer(const SP_Device*, SP_Stream stream, SP_Timer timer, TF_Status*) {
  gpu().enqueue(stream, [times = timer->times] { times->back() = std::chrono::steady_clock::now(); });
}
uint64_t nanoseconds(SP_Timer timer) {
  return static_cast<uint64_t>(std::chrono::nanoseconds(timer->times->back() - timer->times->front()).count());
}

void enqueue_copy(SP_Stream stream, void* to, const void* from, uint64_t size, Way way) {
  gpu().enqueue(stream, [=] { gpu().copy(to, from, size, way); });
}
void copy_out(const SP_Device*, SP_Stream stream, void* to, const SP_DeviceMemoryBase* from, uint64_t size,
              TF_Status*) {
  enqueue_copy(stream, to, from->opaque, size, kOut);
}
void copy_in(const SP_Device*, SP_Stream stream, SP_DeviceMemoryBase* to, const void* from, uint64_t size, TF_Status*) {
  enqueue_copy(stream, to->opaque, from, size, kIn);
}
void copy_within(const SP_Device*, SP_Stream stream, SP_DeviceMemoryBase* to, const SP_DeviceMemoryBase* from,
                 uint64_t size, TF_Status*) {
  enqueue_copy(stream, to->opaque, from->opaque, size, kWithin);
}
// Like a GPU's, these wait for no stream of TensorFlow's.
void copy_out_now(const SP_Device*, void* to, const SP_DeviceMemoryBase* from, uint64_t size, TF_Status*) {
  gpu().copy(to, from->opaque, size, kOut);
}
void copy_in_now(const SP_Device*, SP_DeviceMemoryBase* to, const void* from, uint64_t size, TF_Status*) {
  gpu().copy(to->opaque, from, size, kIn);
}
void copy_within_now(const SP_Device*, SP_DeviceMemoryBase* to, const SP_DeviceMemoryBase* from, uint64_t size,
                     TF_Status*) {
  gpu().copy(to->opaque, from->opaque, size, kWithin);
}

void fill(const SP_Device*, SP_Stream stream, SP_DeviceMemoryBase* memory, uint8_t value, uint64_t size, TF_Status*) {
  gpu().enqueue(stream, [at = memory->opaque, value, size] { far_gpu_fill(at, value, static_cast<int64_t>(size)); });
}
void fill_with_zeros(const SP_Device* device, SP_Stream stream, SP_DeviceMemoryBase* memory, uint64_t size,
                     TF_Status* status) {
  fill(device, stream, memory, 0, size, status);
}
void fill_with_words(const SP_Device*, SP_Stream stream, SP_DeviceMemoryBase* memory, uint32_t word, uint64_t size,
                     TF_Status*) {
  gpu().enqueue(stream, [at = memory->opaque, word, size] {
    const std::vector<uint32_t> words(size / sizeof word, word);
    far_gpu_copy(at, words.data(), static_cast<int64_t>(words.size() * sizeof word), kIn);  // no copy to be counted
  });
}

TF_Bool call_on_host(const SP_Device*, SP_Stream stream, SE_StatusCallbackFn function, void* argument) {
  gpu().enqueue(stream, [=] {
    TF_Status* const status = TF_NewStatus();
    function(argument, status);
    if (TF_GetCode(status) != TF_OK) gpu().fail(stream, TF_Message(status));
    TF_DeleteStatus(status);
  });
  return 1;
}

// ---- tables of these functions

void create_executor(const SP_Platform*, SE_CreateStreamExecutorParams* params, TF_Status*) {
  SP_StreamExecutor& table = *params->stream_executor;
  table = {};
  table.struct_size = SP_STREAMEXECUTOR_STRUCT_SIZE;
  table.allocate = allocate;
  table.deallocate = deallocate;
  table.host_memory_allocate = allocate_on_host;
  table.host_memory_deallocate = deallocate_on_host;
  table.get_allocator_stats = no_stats;
  table.device_memory_usage = memory_usage;
  table.create_stream = create_stream;
  table.destroy_stream = destroy_stream;
  table.create_stream_dependency = wait_for_stream;
  table.get_stream_status = stream_status;
  table.create_event = create_event;
  table.destroy_event = destroy_event;
  table.get_event_status = event_status;
  table.record_event = record_event;
  table.wait_for_event = wait_for_event;
  table.create_timer = create_timer;
  table.destroy_timer = destroy_timer;
  table.start_timer = start_timer;
  table.stop_timer = stop_timer;
  table.memcpy_dtoh = copy_out;
  table.memcpy_htod = copy_in;
  table.memcpy_dtod = copy_within;
  table.sync_memcpy_dtoh = copy_out_now;
  table.sync_memcpy_htod = copy_in_now;
  table.sync_memcpy_dtod = copy_within_now;
  table.block_host_for_event = block_for_event;
  table.block_host_until_done = block_for_stream;
  table.synchronize_all_activity = block_for_all;
  table.mem_zero = fill_with_zeros;
  table.memset = fill;
  table.memset32 = fill_with_words;
  table.host_callback = call_on_host;
}

void count_devices(const SP_Platform*, int* count, TF_Status*) { *count = 1; }
void create_device(const SP_Platform*, SE_CreateDeviceParams* params, TF_Status*) {
  *params->device = {SP_DEVICE_STRUCT_SIZE, nullptr, params->ordinal, &gpu(), kPlatform, nullptr, nullptr};
}
void create_device_functions(const SP_Platform*, SE_CreateDeviceFnsParams* params, TF_Status*) {
  *params->device_fns = {SP_DEVICE_FNS_STRUCT_SIZE, nullptr, nullptr, nullptr, nullptr};
}
void create_timer_functions(const SP_Platform*, SP_TimerFns* table, TF_Status*) {
  *table = {SP_TIMER_FNS_STRUCT_SIZE, nullptr, nanoseconds};
}

template <class... Args>
void keep(Args...) {}  // there is nothing to clean up

}  // namespace

extern "C" {
void SE_InitPlugin(SE_PlatformRegistrationParams* params, TF_Status*) {
  // Each tensor has memory of its own, as the library gives it: no kernel finds the values of an earlier run there.
  // With FAR_GPU_REUSE TensorFlow has a pool and uses blocks again at once, as on a GPU.
  const TF_Bool unified = 0, reuse = std::getenv("FAR_GPU_REUSE") != nullptr, growth = 1;
  *params->platform = {SP_PLATFORM_STRUCT_SIZE, nullptr, kPlatform, kType, unified, reuse, growth};
  SP_PlatformFns& table = *params->platform_fns;
  table = {};
  table.struct_size = SP_PLATFORM_FNS_STRUCT_SIZE;
  table.get_device_count = count_devices;
  table.create_device = create_device;
  table.destroy_device = keep;
  table.create_device_fns = create_device_functions;
  table.destroy_device_fns = keep;
  table.create_stream_executor = create_executor;
  table.destroy_stream_executor = keep;
  table.create_timer_fns = create_timer_functions;
  table.destroy_timer_fns = keep;
  params->destroy_platform = keep;
  params->destroy_platform_fns = keep;
}

// For tests.
void far_gpu_wait() { gpu().wait_for_all(); }  // for what streams have been given until now
int64_t far_gpu_copies() { return gpu().copies; }
int64_t far_gpu_allocations() { return gpu().allocations(); }  // that nobody has released
}
