// Copies between the host and the GPU. Large ones go by way of memory that the driver keeps in its place, which a GPU
// reads and writes by itself: while one piece is on its way, threads of the host copy the next. Left alone, the driver
// does so on one thread, and waits for all that was started before.
#pragma once

#include <mutex>

#include "cuda/device.h"

namespace nengo_dl {
namespace cuda {

// Rows of bytes at a distance from each other; the memory they lie in.
template <class P>
struct Rows {
  P first;
  int64_t distance;
  Rows from(int64_t row, int64_t at) const { return {first + row * distance + at, distance}; }
};
using Source = Rows<const char*>;
using Target = Rows<char*>;
inline Source source(const void* first, int64_t distance) { return {static_cast<const char*>(first), distance}; }
inline Target target(void* first, int64_t distance) { return {static_cast<char*>(first), distance}; }

// Rows of `bytes`, as the driver copies them.
void start_copy(Source from, Target to, int64_t bytes, int64_t rows, cudaMemcpyKind kind, cudaStream_t on);

// One way between the host and the GPU. Several threads take turns.
class Staging {
 public:
  // Started in `on`; when it returns, all of `from` has been read.
  void copy_in(Source from, Target to, int64_t bytes, int64_t rows, cudaStream_t on);
  // When it returns, all has arrived, whatever else was started in `on`.
  void copy_out(Source from, Target to, int64_t bytes, int64_t rows, cudaStream_t on);

 private:
  struct Slot {
    char* memory = nullptr;
    cudaEvent_t reached = nullptr;  // by the stream, after the last copy from or to it
  };
  static constexpr int64_t kSlots = 4;

  Slot& next_slot();  // which no copy uses any more

  std::mutex lock_;
  Slot slots_[kSlots];  // never released: they are the process's
  int64_t turn_ = 0;
};

}  // namespace cuda
}  // namespace nengo_dl
