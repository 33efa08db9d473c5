// Memory for intermediate values, kept by each thread, so that no step allocates any. One user of a type at a time.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace nengo_dl {

template <class T>
T* scratch(size_t size) {
  static thread_local std::vector<T> memory;
  if (memory.size() < size) memory.resize(size);
  return memory.data();
}

// Null if there is no such memory: for what can be done without it, a little slower.
template <class T>
T* scratch_or_null(size_t size) {
  try {
    return scratch<T>(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace nengo_dl
