#include "engine/memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/fork_lock.h"

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

int64_t rounded(int64_t bytes) { return (std::max<int64_t>(bytes, 1) + kAlign - 1) / kAlign * kAlign; }

}  // namespace

void* take_memory(int64_t bytes) {
  const int64_t most = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGE_SIZE);
  if (bytes > most)
    throw std::runtime_error("the program's buffers need " + std::to_string(bytes) +
                             " bytes per thread, more than the memory of this machine (" + std::to_string(most) + ")");
  {
    std::lock_guard<std::mutex> hold(fork_lock());
    if (void* memory = Spares::get().take(rounded(bytes))) return memory;
  }
  void* const memory = std::aligned_alloc(kAlign, rounded(bytes));
  if (!memory) throw std::bad_alloc();
  return memory;
}

void GiveBack::operator()(void* memory) const {
  const int64_t size = rounded(bytes);
  if (size > kMostKept / 2) return std::free(memory);
  std::lock_guard<std::mutex> hold(fork_lock());
  Spares::get().add({memory, size});
}

}  // namespace nengo_dl
