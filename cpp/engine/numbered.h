// What is found by a number, which passes where a pointer can't: through attributes and tensors of TensorFlow.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <random>
#include <utility>

namespace nengo_dl {

// `P` is a pointer that shares, or looks at, what it points to. Safe to use from several threads.
//
// Numbers are drawn from 62 bits, anew for each entry: one that came from another process, in a file that was saved
// there or through a fork, finds nothing here.
template <class P>
class Numbered {
 public:
  int64_t add(P entry) {
    std::lock_guard<std::mutex> hold(lock_);
    while (true) {
      const int64_t number = draw();
      if (entries_.try_emplace(number, std::move(entry)).second) return number;
    }
  }
  // Empty: there is none of this number.
  P find(int64_t number) {
    std::lock_guard<std::mutex> hold(lock_);
    const auto it = entries_.find(number);
    return it == entries_.end() ? P() : it->second;
  }
  // Likewise, and forgets it. What nobody else shares is destroyed by the caller, without the lock.
  P take(int64_t number) {
    std::lock_guard<std::mutex> hold(lock_);
    const auto it = entries_.find(number);
    if (it == entries_.end()) return P();
    P entry = std::move(it->second);
    entries_.erase(it);
    return entry;
  }

 private:
  static int64_t draw() {
    std::random_device bits;
    const uint64_t high = bits(), low = bits();
    return static_cast<int64_t>((high << 32 | low) >> 2);
  }

  std::mutex lock_;
  std::map<int64_t, P> entries_;
};

}  // namespace nengo_dl
