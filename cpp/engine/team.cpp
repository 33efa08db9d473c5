#include <system_error>

#include "engine/executor.h"

namespace nengo_dl {

Team::Team(int threads, std::function<void(int)> work) : work_(std::move(work)) {
  try {
    for (int i = 1; i < threads; ++i) members_.emplace_back([this, i] { member(i); });
  } catch (const std::system_error&) {
    // The system has no more threads to give: fewer members take over the groups, with the same results.
  }
}

Team::~Team() {
  {
    std::lock_guard<std::mutex> hold(lock_);
    stop_ = true;
  }
  start_.notify_all();
  for (std::thread& t : members_) t.join();
}

void Team::do_work(int number) {
  try {
    work_(number);
  } catch (...) {
    std::lock_guard<std::mutex> hold(lock_);
    if (!error_) error_ = std::current_exception();
  }
}

void Team::member(int number) {
  for (int64_t seen = 0;;) {
    {
      std::unique_lock<std::mutex> hold(lock_);
      start_.wait(hold, [&] { return stop_ || round_ != seen; });
      if (stop_) return;
      seen = round_;
    }
    do_work(number);
    std::lock_guard<std::mutex> hold(lock_);
    if (--busy_ == 0) done_.notify_one();
  }
}

void Team::run() {
  {
    std::lock_guard<std::mutex> hold(lock_);
    busy_ = static_cast<int>(members_.size());
    ++round_;
  }
  start_.notify_all();
  do_work(0);
  std::unique_lock<std::mutex> hold(lock_);
  done_.wait(hold, [&] { return busy_ == 0; });
  if (error_) std::rethrow_exception(error_);
}

}  // namespace nengo_dl
