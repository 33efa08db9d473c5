// What is found by a number, which passes where a pointer can't: through attributes and tensors of TensorFlow.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

namespace nengo_dl {

// `P` is a pointer that shares, or looks at, what it points to. Safe to use from several threads.
template <class P>
class Numbered {
 public:
  int64_t add(P entry) {
    std::lock_guard<std::mutex> hold(lock_);
    entries_[next_] = std::move(entry);
    return next_++;
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
  std::mutex lock_;
  std::map<int64_t, P> entries_;
  int64_t next_ = 0;
};

}  // namespace nengo_dl
