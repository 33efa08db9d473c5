// Memory that the host can't reach: its pages are protected and open only while a kernel or a copy is at work, so
// whoever touches them otherwise gets SIGSEGV. What runs on it keeps host and device apart.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

#include "engine/backend.h"
#include "helpers/test_piece.h"

namespace nengo_dl {

// Bytes; pages take memory when they are touched. Large ones: to open and close them takes a five hundredth of the
// time.
constexpr int64_t kRoom = int64_t{1} << 36, kPage = 4096, kLargePage = int64_t{1} << 21, kAlign = 64,
                  kLarge = int64_t{1} << 20;

class FarSpace final : public Space {
 public:
  FarSpace() {
    void* p = mmap(nullptr, kRoom + kLargePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    const auto at = reinterpret_cast<uintptr_t>(p);
    room_ = static_cast<char*>(p) + (kLargePage - at % kLargePage) % kLargePage;
    free_[0] = kRoom;
    if (key_ >= 0)
      pkey_set(key_, PKEY_DISABLE_ACCESS);
    else
      madvise(room_, kRoom, MADV_HUGEPAGE);  // where the kernel has none, tests are slower
  }

  // Lets whoever holds one touch the memory.
  class Open {
   public:
    explicit Open(FarSpace& space) : space_(space) { space_.open(+1); }
    ~Open() { space_.open(-1); }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    FarSpace& space_;
  };

  bool on_host() const override { return false; }
  void* allocate(int64_t bytes) override {
    check_fits(bytes, kRoom);
    char* memory;
    const int64_t size = rounded(bytes);
    {
      std::lock_guard<std::mutex> hold(lock_);
      auto it = free_.begin();
      while (it != free_.end() && it->second < size) ++it;
      if (it == free_.end()) throw std::bad_alloc();
      held_ += size;
      const auto [start, length] = *it;
      free_.erase(it);
      if (length > size) free_[start + size] = length - size;
      memory = room_ + start;
      if (start + size > used_) {
        const int64_t end = (start + size + page_ - 1) / page_ * page_;
        if (key_ >= 0 && pkey_mprotect(room_ + used_, end - used_, PROT_READ | PROT_WRITE, key_) != 0) std::abort();
        used_ = end;
        if (key_ < 0) protect();
      }
    }
    const Open open(*this);
    std::memset(memory, 0xFF, size);  // NaN, should it be read before it is written
    return memory;
  }
  void release(void* memory, int64_t bytes) override {
    std::lock_guard<std::mutex> hold(lock_);
    const int64_t start = static_cast<char*>(memory) - room_, size = rounded(bytes);
    held_ -= size;
    // Pages that are wholly its own, as each of them makes protect() slower.
    const int64_t first = (start + page_ - 1) / page_ * page_, last = (start + size) / page_ * page_;
    if (size > kLarge && last > first) madvise(room_ + first, last - first, MADV_DONTNEED);
    auto it = free_.emplace(start, size).first;
    const auto join = [this](auto left) {
      const auto right = std::next(left);
      if (right == free_.end() || left->first + left->second != right->first) return;
      left->second += right->second;
      free_.erase(right);
    };
    join(it);
    if (it != free_.begin()) join(std::prev(it));
  }

  void copy_rows(const void* from, int64_t from_distance, void* to, int64_t to_distance, int64_t bytes,
                 int64_t rows) override {
    const Open open(*this);
    host_space().copy_rows(inside(from), from_distance, inside(to), to_distance, bytes, rows);
  }
  void copy_in(const void* host, void* to, int64_t bytes) override {
    const Open open(*this);
    received_ += bytes;
    std::memcpy(inside(to), host, bytes);
  }
  void copy_out(const void* from, void* host, int64_t bytes) override {
    const Open open(*this);
    given_ += bytes;
    std::memcpy(host, inside(from), bytes);
  }
  void bring_in(const void* host, int64_t host_distance, void* to, int64_t to_distance, int64_t bytes,
                int64_t rows) override {
    const Open open(*this);
    received_ += bytes * rows;
    host_space().copy_rows(host, host_distance, inside(to), to_distance, bytes, rows);
  }
  void bring_out(const void* from, int64_t from_distance, void* host, int64_t host_distance, int64_t bytes,
                 int64_t rows) override {
    const Open open(*this);
    given_ += bytes * rows;
    host_space().copy_rows(inside(from), from_distance, host, host_distance, bytes, rows);
  }
  // Of the stand-in for TensorFlow's GPU (far_gpu.cpp): what waits for all that its streams have begun.
  void set_streams(void (*wait)()) { wait_for_streams_ = wait; }
  void wait_for_streams() const {
    if (wait_for_streams_) wait_for_streams_();
  }
  void follow(Neighbour& neighbour) override {
    wait_for_streams();
    void* const lent = neighbour.allocate(kAlign);
    neighbour.release(inside(lent));  // of this very space
    ++visits_[0];
  }
  void lead(Neighbour&) override { ++visits_[1]; }
  void note_visit(bool ended) { ++visits_[ended]; }
  int64_t visits(bool ended) const { return visits_[ended]; }  // that began, that ended
  int64_t used() const { return used_; }                       // the most at a time, in bytes
  int64_t held() const { return held_; }                       // at present
  int64_t received() const { return received_; }               // bytes that came from the host
  int64_t given() const { return given_; }                     // and that went there
  void begin_work() override { marks_[0] = received(), marks_[1] = given(); }
  void end_work() override { marks_[2] = received(), marks_[3] = given(); }
  int64_t mark(int i) const { return marks_[i]; }  // received and given when work began, and when it ended
  int64_t piece_bytes() const override { return piece_of_tests(); }
  void zero(void* memory, int64_t bytes) override {
    const Open open(*this);
    std::memset(inside(memory), 0, bytes);
  }
  void zero_elements(void* first, int64_t items, int64_t distance, const std::vector<int64_t>& elements,
                     int64_t size) override {
    const Open open(*this);
    host_space().zero_elements(inside(first), items, distance, elements, size);
  }
  void transpose(const void* from, int64_t rows, int64_t columns, int64_t count, void* to, int64_t size) override {
    const Open open(*this);
    host_space().transpose(inside(from), rows, columns, count, inside(to), size);
  }
  std::vector<bool> all_zero(const std::vector<Values<float>>& arrays) override { return zeros(arrays); }
  std::vector<bool> all_zero(const std::vector<Values<double>>& arrays) override { return zeros(arrays); }
  void add(const float* from, float* to, int64_t count) override { add_all(from, to, count); }
  void add(const double* from, double* to, int64_t count) override { add_all(from, to, count); }

 private:
  template <class T>
  void add_all(const T* from, T* to, int64_t count) {
    const Open open(*this);
    host_space().add(inside(from), inside(to), count);
  }
  template <class T>
  std::vector<bool> zeros(const std::vector<Values<T>>& arrays) {
    const Open open(*this);
    for (const Values<T>& values : arrays)
      if (values.count > 0) inside(values.at);
    return host_space().all_zero(arrays);
  }
  static int64_t rounded(int64_t bytes) { return (bytes < 1 ? 1 : bytes + kAlign - 1) / kAlign * kAlign + kAlign; }

  // A device can't reach the host's memory either.
  template <class T>
  T* inside(T* p) const {
    const char* at = reinterpret_cast<const char*>(p);
    if (at < room_ || at >= room_ + kRoom) std::abort();
    return p;
  }

  void open(int more) {
    if (key_ >= 0) {
      thread_local int opened = 0;
      opened += more;
      return static_cast<void>(pkey_set(key_, opened > 0 ? 0 : PKEY_DISABLE_ACCESS));
    }
    std::lock_guard<std::mutex> hold(lock_);
    const bool before = opened_ > 0;
    opened_ += more;
    if (before != (opened_ > 0)) protect();
  }
  void protect() {
    if (mprotect(room_, used_, opened_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE) != 0) std::abort();
  }

  char* room_;
  std::mutex lock_;
  std::map<int64_t, int64_t> free_;  // first byte -> bytes
  int64_t used_ = 0;
  std::atomic<int64_t> held_{0}, received_{0}, given_{0}, marks_[4] = {}, visits_[2] = {};
  void (*wait_for_streams_)() = nullptr;
  // A protection key opens and closes the pages for one thread in a few cycles. Where the processor has none (-1),
  // the pages are open for the process while a thread is at work.
  const int key_ = pkey_alloc(0, 0);
  const int64_t page_ = key_ >= 0 ? kPage : kLargePage;
  int opened_ = 0;  // kernels and copies at work in the process
};

inline FarSpace& far_space() {
  static auto* const space = new FarSpace;
  return *space;
}

}  // namespace nengo_dl
