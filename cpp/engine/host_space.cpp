// The memory of the machine. What is released is kept for the next run.
#include "engine/space.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/fork_lock.h"
#include "kernels/dense_kernels.h"

namespace nengo_dl {
namespace {

constexpr int64_t kAlign = 64, kMostKept = 64 << 20;  // bytes
constexpr size_t kMostBlocks = 64;

struct Spare {
  void* memory;
  int64_t bytes;
};

class Spares {
 public:
  static Spares& get() {
    static auto* const spares = new Spares;  // never destroyed: threads may outlive the end of main
    return *spares;
  }
  void add(const Spare& block) {
    blocks_.push_back(block);
    bytes_ += block.bytes;
    while (bytes_ > kMostKept || blocks_.size() > kMostBlocks) {
      std::free(blocks_.front().memory);
      remove(0);
    }
  }
  void* take(int64_t bytes) {
    for (size_t i = blocks_.size(); i-- > 0;) {  // what was used last may still be in the cache
      if (blocks_[i].bytes != bytes) continue;
      void* const memory = blocks_[i].memory;
      remove(i);
      return memory;
    }
    return nullptr;
  }

 private:
  Spares() { blocks_.reserve(kMostBlocks + 1); }
  void remove(size_t i) {
    bytes_ -= blocks_[i].bytes;
    blocks_.erase(blocks_.begin() + i);
  }

  std::vector<Spare> blocks_;  // the latest last
  int64_t bytes_ = 0;
};

// Few columns or rows: all of them at once.
template <class T, int64_t N>
void few_columns(const T* from, int64_t rows, T* to) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < N; ++j) to[j * rows + i] = from[i * N + j];
}

template <class T, int64_t N>
void few_rows(const T* from, int64_t columns, T* to) {
  for (int64_t j = 0; j < columns; ++j)
    for (int64_t i = 0; i < N; ++i) to[j * N + i] = from[i * columns + j];
}

template <class T, int64_t N>
bool few(const T* from, int64_t rows, int64_t columns, T* to) {
  if (columns == N) return few_columns<T, N>(from, rows, to), true;
  if (rows == N) return few_rows<T, N>(from, columns, to), true;
  if constexpr (N > 2) return few<T, N - 1>(from, rows, columns, to);
  return false;
}

template <class T>
void turn_matrix(const T* from, int64_t rows, int64_t columns, T* to) {
  constexpr int64_t kFew = 8, kTile = 32;
  if (few<T, kFew>(from, rows, columns, to)) return;
  for (int64_t i0 = 0; i0 < rows; i0 += kTile)
    for (int64_t j0 = 0; j0 < columns; j0 += kTile)
      for (int64_t i = i0; i < std::min(rows, i0 + kTile); ++i)
        for (int64_t j = j0; j < std::min(columns, j0 + kTile); ++j) to[j * rows + i] = from[i * columns + j];
}

int64_t rounded(int64_t bytes) { return (std::max<int64_t>(bytes, 1) + kAlign - 1) / kAlign * kAlign; }

class HostSpace final : public Space {
 public:
  bool on_host() const override { return true; }

  void* allocate(int64_t bytes) override {
    const int64_t most = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGE_SIZE);
    check_fits(bytes, most);
    {
      std::lock_guard<std::mutex> hold(fork_lock());
      if (void* memory = Spares::get().take(rounded(bytes))) return memory;
    }
    void* const memory = std::aligned_alloc(kAlign, rounded(bytes));
    if (!memory) throw std::bad_alloc();
    return memory;
  }
  void release(void* memory, int64_t bytes) override {
    const int64_t size = rounded(bytes);
    if (size > kMostKept / 2) return std::free(memory);
    std::lock_guard<std::mutex> hold(fork_lock());
    Spares::get().add({memory, size});
  }

  void copy_rows(const void* from, int64_t from_distance, void* to, int64_t to_distance, int64_t bytes,
                 int64_t rows) override {
    for (int64_t i = 0; i < rows; ++i)
      std::memcpy(static_cast<char*>(to) + i * to_distance, static_cast<const char*>(from) + i * from_distance, bytes);
  }
  void bring_in(const void* host, int64_t host_distance, void* to, int64_t to_distance, int64_t bytes,
                int64_t rows) override {
    copy_rows(host, host_distance, to, to_distance, bytes, rows);
  }
  void bring_out(const void* from, int64_t from_distance, void* host, int64_t host_distance, int64_t bytes,
                 int64_t rows) override {
    copy_rows(from, from_distance, host, host_distance, bytes, rows);
  }
  void copy_in(const void* host, void* to, int64_t bytes) override { std::memcpy(to, host, bytes); }
  void copy_out(const void* from, void* host, int64_t bytes) override { std::memcpy(host, from, bytes); }
  void zero(void* memory, int64_t bytes) override { std::memset(memory, 0, bytes); }
  void zero_elements(void* first, int64_t items, int64_t distance, const std::vector<int64_t>& elements,
                     int64_t size) override {
    for (int64_t i = 0; i < items; ++i) {
      char* const item = static_cast<char*>(first) + i * distance;
      if (size == 4)
        zero_all(reinterpret_cast<float*>(item), elements);
      else
        zero_all(reinterpret_cast<double*>(item), elements);
    }
  }
  void transpose(const void* from, int64_t rows, int64_t columns, int64_t count, void* to, int64_t size) override {
    if (size == 4)
      turn(static_cast<const uint32_t*>(from), rows, columns, count, static_cast<uint32_t*>(to));
    else
      turn(static_cast<const uint64_t*>(from), rows, columns, count, static_cast<uint64_t*>(to));
  }
  std::vector<bool> all_zero(const std::vector<Values<float>>& arrays) override { return only_zeros(arrays); }
  std::vector<bool> all_zero(const std::vector<Values<double>>& arrays) override { return only_zeros(arrays); }
  void add(const float* from, float* to, int64_t count) override { add32_(from, 1, to, 1, count, false); }
  void add(const double* from, double* to, int64_t count) override { add64_(from, 1, to, 1, count, false); }

 private:
  template <class T>
  static void zero_all(T* first, const std::vector<int64_t>& elements) {
    for (int64_t e : elements) first[e] = 0;
  }

  template <class T>
  static void turn(const T* from, int64_t rows, int64_t columns, int64_t count, T* to) {
    const int64_t elements = rows * columns;
    for (int64_t k = 0; k < count; ++k) turn_matrix(from + k * elements, rows, columns, to + k * elements);
  }
  template <class T>
  static std::vector<bool> only_zeros(const std::vector<Values<T>>& arrays) {
    std::vector<bool> zeros;
    for (const Values<T>& v : arrays)
      zeros.push_back(std::all_of(v.at, v.at + v.count, [](T value) { return value == T(0); }));
    return zeros;
  }

  void (*add32_)(const float*, int64_t, float*, int64_t, int64_t, bool) = NDL_PICK(vec_copy32);
  void (*add64_)(const double*, int64_t, double*, int64_t, int64_t, bool) = NDL_PICK(vec_copy64);
};

}  // namespace

Space::~Space() = default;

void check_fits(int64_t bytes, int64_t most) {
  if (bytes > most)
    throw std::runtime_error("the program's buffers need " + std::to_string(bytes) +
                             " bytes per thread, more than the memory there is (" + std::to_string(most) + ")");
}

Space& host_space() {
  static auto* const space = new HostSpace;  // never destroyed: what is released at the end of main needs it
  return *space;
}

}  // namespace nengo_dl
