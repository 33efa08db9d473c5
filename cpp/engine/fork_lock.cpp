#include "engine/fork_lock.h"

#include <pthread.h>

#include <vector>

namespace nengo_dl {
namespace {

struct Shared {  // never destroyed: threads may outlive the end of main
  std::mutex lock;
  std::vector<void (*)()> forget;
};

Shared& shared() {
  static Shared* const s = [] {
    auto* made = new Shared;
    pthread_atfork([] { shared().lock.lock(); }, [] { shared().lock.unlock(); },
                   [] {
                     for (auto f : shared().forget) f();
                     shared().lock.unlock();
                   });
    return made;
  }();
  return *s;
}

}  // namespace

std::mutex& fork_lock() { return shared().lock; }

void on_fork(void (*forget)()) {
  std::lock_guard<std::mutex> hold(fork_lock());
  shared().forget.push_back(forget);
}

}  // namespace nengo_dl
