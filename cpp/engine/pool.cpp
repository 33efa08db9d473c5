#include "engine/pool.h"

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "engine/fork_lock.h"
#include "engine/tiny_numbers.h"

namespace nengo_dl {
namespace {

// How often a thread looks again before it sleeps: some 20 microseconds. Longer would take the processor from others.
constexpr int kSpins = 1000;

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class Done>
bool spin(Done done) {
  for (int i = 0; i < kSpins; ++i, relax())
    if (done()) return true;
  return false;
}

struct Abandoned {};  // thrown by a barrier: another member has failed

struct Job {
  const Work* work;
  Team* team;
  int number;
};

const Job kStop{nullptr, nullptr, 0}, kBegun{nullptr, nullptr, 0};

// A thread of the pool and the place where it and whoever gives it work wait for each other.
class Helper {
 public:
  // of the giver
  void give(const Job* job) { set(job); }
  bool take_back(const Job* job) { return job_.compare_exchange_strong(job, nullptr); }  // false: it has begun
  void wait_until_done() {
    wait([this] { return job_ == nullptr; });
  }
  // of the thread
  const Job* begin() {
    for (;;) {
      wait([this] { return job_ != nullptr; });
      const Job* job = job_;
      if (job && job_.compare_exchange_strong(job, &kBegun)) return job;
    }
  }
  void done() { set(nullptr); }

 private:
  void set(const Job* job) {
    job_ = job;
    if (waiting_ == 0) return;
    { std::lock_guard<std::mutex> hold(lock_); }  // whoever waits has seen the new value, or sleeps by now
    changed_.notify_all();
  }
  template <class Good>
  void wait(Good good) {
    if (spin(good)) return;
    std::unique_lock<std::mutex> hold(lock_);
    ++waiting_;
    changed_.wait(hold, good);
    --waiting_;
  }

  std::atomic<const Job*> job_{nullptr};
  std::atomic<int> waiting_{0};  // of the two, asleep or falling asleep
  std::mutex lock_;
  std::condition_variable changed_;
};

}  // namespace

void Team::barrier() {
  const int round = round_.load();
  if (arrived_.fetch_add(1) + 1 == size_) {
    arrived_.store(0);
    round_.store(round + 1);
    wake();
    return;
  }
  const auto good = [&] { return round_.load() != round || failed_.load(); };
  if (!spin(good)) {  // whom it waits for may not have a processor: it gives up its own
    std::unique_lock<std::mutex> hold(lock_);
    ++waiting_;
    changed_.wait(hold, good);
    --waiting_;
  }
  if (round_.load() == round) throw Abandoned();
}

void Team::wake() {
  if (waiting_ == 0) return;
  { std::lock_guard<std::mutex> hold(lock_); }  // whoever waits has seen the new round, or sleeps by now
  changed_.notify_all();
}

void Team::fail(std::exception_ptr error) {
  {
    std::lock_guard<std::mutex> hold(lock_);
    if (!error_) error_ = error;
    failed_ = true;
  }
  wake();
}

class Pool {
 public:
  static Pool& get() {
    static Pool* const pool = [] {                    // never destroyed: its threads may outlive the end of main
      on_fork([] { Pool::get().idle_ = new Idle; });  // a child has none of the threads
      return new Pool;
    }();
    return *pool;
  }

  void run(int n, const Work& work) {
    const Arithmetic arithmetic(TinyNumbers::kAreZero);
    if (n <= 1) {
      Team alone(1);
      return work(0, alone);
    }
    std::vector<Job> jobs;
    Idle helpers = take(n - 1, &jobs);
    Team team(1 + static_cast<int>(helpers.size()));
    for (int i = 1; i < team.size(); ++i) jobs.push_back({&work, &team, i});
    for (size_t i = 0; i < helpers.size(); ++i) helpers[i]->give(&jobs[i]);
    call({&work, &team, 0});
    for (size_t i = 0; i < helpers.size(); ++i)
      if (!helpers[i]->take_back(&jobs[i])) helpers[i]->wait_until_done();
    put_back(std::move(helpers));
    if (team.error_) std::rethrow_exception(team.error_);
  }

 private:
  using Idle = std::vector<std::shared_ptr<Helper>>;

  static void call(const Job& job) {
    try {
      (*job.work)(job.number, *job.team);
    } catch (const Abandoned&) {
    } catch (...) {
      job.team->fail(std::current_exception());
    }
  }

  static void live(const std::shared_ptr<Helper>& helper) {
    const Arithmetic arithmetic(TinyNumbers::kAreZero);
    for (const Job* job; (job = helper->begin()) != &kStop; helper->done()) call(*job);
  }

  // With room for their jobs. What the system has no more of, threads or memory, fewer do without, with the same
  // results.
  Idle take(int count, std::vector<Job>* jobs) {
    Idle taken;
    try {
      jobs->reserve(count), taken.reserve(count);
      std::lock_guard<std::mutex> hold(fork_lock());
      idle_->reserve(most_idle());
      const size_t there = std::min<size_t>(count, idle_->size());
      taken.assign(idle_->end() - there, idle_->end());
      idle_->resize(idle_->size() - there);
    } catch (const std::bad_alloc&) {
      return {};
    }
    try {
      while (static_cast<int>(taken.size()) < count) {
        auto helper = std::make_shared<Helper>();
        std::thread([helper] { live(helper); }).detach();
        taken.push_back(std::move(helper));
      }
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {
    }
    return taken;
  }

  static size_t most_idle() {
    static const size_t most = std::max(16u, std::thread::hardware_concurrency());
    return most;
  }

  // A single run of very many threads does not leave them all behind.
  void put_back(Idle helpers) {
    {
      std::lock_guard<std::mutex> hold(fork_lock());
      while (!helpers.empty() && idle_->size() < most_idle()) {
        idle_->push_back(std::move(helpers.back()));
        helpers.pop_back();
      }
    }
    for (const auto& helper : helpers) helper->give(&kStop);
  }

  Idle* idle_ = new Idle;
};

namespace {
[[maybe_unused]] const Pool& made_at_load = Pool::get();  // not while another thread may fork
}

void run_together(int n, const Work& work) { Pool::get().run(n, work); }

void share_pieces(int n, int64_t count, int64_t piece, const std::function<void(int64_t, int64_t)>& work) {
  if (count <= piece) return count > 0 ? work(0, count) : void();
  const int64_t pieces = (count - 1) / piece + 1;
  std::atomic<int64_t> next{0};
  run_together(static_cast<int>(std::min<int64_t>(n, pieces)), [&](int, Team&) {
    for (int64_t k; (k = next.fetch_add(1)) < pieces;) work(k * piece, std::min((k + 1) * piece, count));
  });
}

bool run_while_waking(int n, const std::function<bool()>& work) {
  std::atomic<int> awake{1};
  std::atomic<bool> done{false};
  const auto wake = [&](int number, Team&) {
    if (number > 0) {
      for (++awake; !done.load(); relax()) continue;
      return;
    }
    const auto end = [&done](void*) { done = true; };
    const std::unique_ptr<void, decltype(end)> ends(&done, end);  // also if work() throws
    while (work() && awake.load() < n) continue;
  };
  run_together(n, std::ref(wake));
  return awake.load() >= n;
}

}  // namespace nengo_dl
