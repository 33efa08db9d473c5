// Where a backend keeps values: the only way in which the code that backends share touches them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/api.h"

namespace nengo_dl {

// Who else works with the memory of a space, in a queue of its own: TensorFlow on a GPU. Never destroyed.
class NDL_API Neighbour {
 public:
  virtual void* stream() const = 0;           // the queue, as the device's driver knows it
  virtual void* allocate(int64_t bytes) = 0;  // aligned to 256; null: it has no such memory
  virtual void release(void* memory) = 0;

 protected:
  ~Neighbour() = default;
};

template <class T>
struct Values {
  const T* at;
  int64_t count;
};

// Pointers into a space may be offset on the host, but read and written only through it and by kernels. Sizes and
// distances are in bytes. What is called first takes effect first.
class NDL_API Space {
 public:
  virtual ~Space();

  // Whether the host may read and write its memory. Then the arguments of a run are used where they lie.
  virtual bool on_host() const = 0;
  // Aligned to 64, not initialised. std::runtime_error if there is less memory, std::bad_alloc if it can't be had.
  virtual void* allocate(int64_t bytes) = 0;
  virtual void release(void* memory, int64_t bytes) = 0;
  // Within the space: `rows` rows of `bytes`, at a distance from each other.
  virtual void copy_rows(const void* from, int64_t from_distance, void* to, int64_t to_distance, int64_t bytes,
                         int64_t rows) = 0;
  virtual void copy_in(const void* host, void* to, int64_t bytes) = 0;
  virtual void copy_out(const void* from, void* host, int64_t bytes) = 0;
  // `copy_out` of several, which a device may do at once.
  struct Outgoing {
    const void* from;
    void* host;
    int64_t bytes;
  };
  virtual void copy_all_out(const std::vector<Outgoing>& all) {
    for (const Outgoing& one : all) copy_out(one.from, one.host, one.bytes);
  }
  // Rows between the host and the space, perhaps before what was started since the last `wait` has taken effect:
  // neither touches what the other writes. What is started afterwards sees them; `bring_out` returns when they are
  // there.
  virtual void bring_in(const void* host, int64_t host_distance, void* to, int64_t to_distance, int64_t bytes,
                        int64_t rows) = 0;
  virtual void bring_out(const void* from, int64_t from_distance, void* host, int64_t host_distance, int64_t bytes,
                         int64_t rows) = 0;
  // What the inputs and outputs of a run may take at a time: those of a longer run come and go piece by piece.
  virtual int64_t piece_bytes() const { return INT64_MAX; }
  virtual void zero(void* memory, int64_t bytes) = 0;
  // Elements of `size` bytes, counted from `first`, and from where so many further items begin.
  virtual void zero_elements(void* first, int64_t items, int64_t distance, const std::vector<int64_t>& elements,
                             int64_t size) = 0;
  // `count` matrices of `rows` x `columns` elements of `size` bytes, row by row, turned.
  virtual void transpose(const void* from, int64_t rows, int64_t columns, int64_t count, void* to, int64_t size) = 0;
  // Which of several arrays have nothing but zeros.
  virtual std::vector<bool> all_zero(const std::vector<Values<float>>& arrays) = 0;
  virtual std::vector<bool> all_zero(const std::vector<Values<double>>& arrays) = 0;
  virtual void add(const float* from, float* to, int64_t count) = 0;
  virtual void add(const double* from, double* to, int64_t count) = 0;
  // Around the work of a run or gradient: its arguments have come before, its results go afterwards. The last of
  // several ends counts. For who asks how long that took.
  virtual void begin_work() {}
  virtual void end_work() {}
  // What is started from now on takes effect after all that the neighbour has started, and perhaps in memory from it.
  virtual void follow(Neighbour&) {}
  // What the neighbour starts from now on takes effect after all that was started here; memory from it that nobody uses
  // goes back to it.
  virtual void lead(Neighbour&) {}
  // Until all that was started has taken effect. std::runtime_error if some of it failed.
  virtual void wait() {}

  // The same, counted in elements.
  template <class T>
  void copy(const T* from, T* to, int64_t count) {
    if (count > 0) copy_rows(from, 0, to, 0, count * sizeof(T), 1);
  }
  template <class T>
  void copy_items(const T* from, int64_t from_distance, T* to, int64_t to_distance, int64_t count, int64_t items) {
    if (count > 0) copy_rows(from, from_distance * sizeof(T), to, to_distance * sizeof(T), count * sizeof(T), items);
  }
  template <class T>
  void clear(T* values, int64_t count) {
    if (count > 0) zero(values, count * sizeof(T));
  }
};

// The memory of the machine.
NDL_API Space& host_space();
// std::runtime_error unless the buffers of a program fit into a memory of `most` bytes.
NDL_API void check_fits(int64_t bytes, int64_t most);

struct Release {
  Space* space = nullptr;
  int64_t bytes = 0;
  void operator()(void* memory) const { space->release(memory, bytes); }
};
template <class T>
using Memory = std::unique_ptr<T[], Release>;

template <class T>
Memory<T> allocate(Space& space, int64_t elements) {
  int64_t bytes;
  if (__builtin_mul_overflow(elements, static_cast<int64_t>(sizeof(T)), &bytes)) bytes = INT64_MAX;
  return Memory<T>(static_cast<T*>(space.allocate(bytes)), Release{&space, bytes});
}

}  // namespace nengo_dl
