// Memory for values: aligned, not initialised, kept for the next run when it is given back.
#pragma once

#include <cstdint>
#include <memory>

namespace nengo_dl {

struct GiveBack {
  int64_t bytes = 0;
  void operator()(void* memory) const;
};
template <class T>
using Memory = std::unique_ptr<T[], GiveBack>;

// std::runtime_error if the machine has less memory, std::bad_alloc if it can't be had.
void* take_memory(int64_t bytes);

template <class T>
Memory<T> allocate(int64_t elements) {
  int64_t bytes;
  if (__builtin_mul_overflow(elements, static_cast<int64_t>(sizeof(T)), &bytes)) bytes = INT64_MAX;
  return Memory<T>(static_cast<T*>(take_memory(bytes)), GiveBack{bytes});
}

}  // namespace nengo_dl
