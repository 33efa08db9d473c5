#include "cuda/staging.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "engine/pool.h"

namespace nengo_dl {
namespace cuda {
namespace {

// What goes through a slot at a time: bytes `at`, .. of rows `row`, ..
struct Part {
  int64_t row, at, bytes, rows;
};

std::vector<Part> parts(int64_t bytes, int64_t rows) {
  std::vector<Part> all;
  const int64_t wide = std::min(bytes, kStaged), tall = kStaged / wide;
  for (int64_t row = 0; row < rows; row += tall)
    for (int64_t at = 0; at < bytes; at += wide)
      all.push_back({row, at, std::min(wide, bytes - at), std::min(tall, rows - row)});
  return all;
}

// Between rows on the host and a slot, in which they lie side by side: `move` gets a place in the slot, one among the
// rows, and how many bytes.
template <class Move>
void move_part(const Part& part, int64_t distance, const Move& move) {
  static const int threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 4u));
  share_pieces(threads, part.bytes * part.rows, kStagedByThread, [&](int64_t first, int64_t last) {
    for (int64_t n; first < last; first += n) {
      const int64_t row = first / part.bytes, at = first % part.bytes;
      n = std::min(part.bytes - at, last - first);
      move(first, (part.row + row) * distance + part.at + at, static_cast<size_t>(n));
    }
  });
}

}  // namespace

void start_copy(Source from, Target to, int64_t bytes, int64_t rows, cudaMemcpyKind kind, cudaStream_t on) {
  if (from.distance == bytes && to.distance == bytes) bytes *= rows, rows = 1;
  static const int64_t farthest = gpu_fact(cudaDevAttrMaxPitch);
  if (rows > 1 && std::max(from.distance, to.distance) > farthest) {
    for (int64_t r = 0; r < rows; ++r) start_copy(from.from(r, 0), to.from(r, 0), bytes, 1, kind, on);
    return;
  }
  const auto size = static_cast<size_t>(bytes);
  if (rows == 1) return check(cudaMemcpyAsync(to.first, from.first, size, kind, on), "a copy failed");
  check(cudaMemcpy2DAsync(to.first, static_cast<size_t>(to.distance), from.first, static_cast<size_t>(from.distance),
                          size, static_cast<size_t>(rows), kind, on),
        "a copy failed");
}

void Staging::copy_in(Source from, Target to, int64_t bytes, int64_t rows, cudaStream_t on) {
  if (bytes * rows <= kMostUnstaged) return start_copy(from, to, bytes, rows, cudaMemcpyHostToDevice, on);
  const std::lock_guard<std::mutex> hold(lock_);
  for (const Part& part : parts(bytes, rows)) {
    Slot& slot = next_slot();
    move_part(part, from.distance,
              [&](int64_t staged, int64_t at, size_t n) { std::memcpy(slot.memory + staged, from.first + at, n); });
    start_copy(source(slot.memory, part.bytes), to.from(part.row, part.at), part.bytes, part.rows,
               cudaMemcpyHostToDevice, on);
    check(cudaEventRecord(slot.reached, on), "an event can't be recorded");
  }
}

void Staging::copy_out(Source from, Target to, int64_t bytes, int64_t rows, cudaStream_t on) {
  if (bytes * rows <= kMostUnstaged) {
    start_copy(from, to, bytes, rows, cudaMemcpyDeviceToHost, on);
    return check(cudaStreamSynchronize(on), "a copy from the GPU failed");
  }
  const std::lock_guard<std::mutex> hold(lock_);
  const std::vector<Part> all = parts(bytes, rows);
  const int64_t first = turn_, count = static_cast<int64_t>(all.size());
  const auto arrive = [&](int64_t i) {
    const Slot& slot = slots_[(first + i) % kSlots];
    check(cudaEventSynchronize(slot.reached), "a copy from the GPU failed");
    move_part(all[static_cast<size_t>(i)], to.distance,
              [&](int64_t staged, int64_t at, size_t n) { std::memcpy(to.first + at, slot.memory + staged, n); });
  };
  for (int64_t i = 0; i < count; ++i) {
    if (i >= kSlots) arrive(i - kSlots);
    const Part& part = all[static_cast<size_t>(i)];
    Slot& slot = next_slot();
    start_copy(from.from(part.row, part.at), target(slot.memory, part.bytes), part.bytes, part.rows,
               cudaMemcpyDeviceToHost, on);
    check(cudaEventRecord(slot.reached, on), "an event can't be recorded");
  }
  for (int64_t i = std::max<int64_t>(0, count - kSlots); i < count; ++i) arrive(i);
}

Staging::Slot& Staging::next_slot() {
  Slot& slot = slots_[turn_++ % kSlots];
  if (!slot.reached) check(cudaEventCreateWithFlags(&slot.reached, cudaEventDisableTiming), "an event can't be made");
  if (slot.memory) {
    check(cudaEventSynchronize(slot.reached), "a copy failed");
    return slot;
  }
  void* memory = nullptr;
  if (cudaHostAlloc(&memory, static_cast<size_t>(kStaged), cudaHostAllocDefault) != cudaSuccess) {
    cudaGetLastError();  // it is told here
    throw NoMemory("CUDA: expected " + std::to_string(kStaged >> 20) +
                   " MiB of the host's memory that stay in their place, for copies to and from the GPU, got none; end "
                   "other programs, or run on device='/cpu:0'");
  }
  slot.memory = static_cast<char*>(memory);
  return slot;
}

}  // namespace cuda
}  // namespace nengo_dl
