// The threads of the process: made when a run first needs them, asleep between runs, shared by all programs.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>

#include "engine/api.h"

namespace nengo_dl {

// The threads that do one piece of work together.
class Team {
 public:
  int size() const { return size_; }
  // Waits until every member has come here. Throws, without a meaning of its own, if one of them has failed.
  void barrier();

 private:
  friend class Pool;
  explicit Team(int size) : size_(size) {}
  void fail(std::exception_ptr error);
  void wake();

  const int size_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> round_{0};
  std::atomic<bool> failed_{false};
  std::atomic<int> waiting_{0};  // asleep at the barrier, or falling asleep
  std::mutex lock_;
  std::condition_variable changed_;
  std::exception_ptr error_;  // the first
};

using Work = std::function<void(int number, Team& team)>;

// Calls work(0), .., work(n - 1), each on a thread of its own, work(0) on the caller's; rethrows the first exception
// when all have ended. `work` takes what is to be done piece by piece: a thread that comes when work(0) has ended
// already is not waited for, nor does it begin (behind a barrier, all have come). If the system has no more threads to
// give, or no memory, there are fewer: team.size() says how many. May be called from several threads at once, from
// within `work`, and in a child after fork(). Numbers too small for a full mantissa are 0 there (tiny_numbers.h).
void run_together(int n, const Work& work);

// Calls work(first, last) for every piece of 0, .., count - 1, on at most n threads together.
NDL_API void share_pieces(int n, int64_t count, int64_t piece, const std::function<void(int64_t, int64_t)>& work);

// Calls work() on the caller's thread again and again, until it returns false or all threads for run_together(n, ..)
// are awake, which may take a millisecond; true if they are.
bool run_while_waking(int n, const std::function<bool()>& work);

}  // namespace nengo_dl
