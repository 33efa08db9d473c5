// Checks the thread pool; prints what is wrong and returns 1. `check_pool fork` also forks, which ThreadSanitizer can't
// follow.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "engine/pool.h"

using nengo_dl::run_together;
using nengo_dl::run_while_waking;
using nengo_dl::Team;

namespace {

int wrong = 0;

void expect(bool good, const std::string& what) {
  if (!good) ++wrong, std::cout << what << std::endl;
}

long threads_of_process() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
}

void check_threads_are_kept() {
  std::thread([] {}).join();  // sanitizers start one of their own with the first
  const long before = threads_of_process();
  run_together(1, [](int, Team&) {});
  expect(threads_of_process() == before, "a run of one started a thread");
  for (int i = 0; i < 100; ++i) run_together(3, [](int, Team& team) { team.barrier(); });
  expect(threads_of_process() == before + 2, "100 runs of three: expected 2 more threads");
  for (int i = 0; i < 3; ++i) run_together(100, [](int, Team& team) { team.barrier(); });
  const long most = std::max(16u, std::thread::hardware_concurrency());
  for (int i = 0; i < 1000 && threads_of_process() > before + most; ++i) usleep(1000);  // they end by themselves
  expect(threads_of_process() <= before + most, "a run of 100 left its threads behind");
}

// Every member adds its own number; behind the barrier all see the sum.
void sum_in_rounds(int n, int rounds) {
  std::vector<long> parts(n, 0);
  std::atomic<int> bad{0};
  run_together(n, [&](int number, Team& team) {
    for (int round = 1; round <= rounds; ++round) {
      parts[number] += number + 1;
      team.barrier();
      long sum = 0;
      for (long part : parts) sum += part;
      if (sum != round * n * (n + 1L) / 2) ++bad;
      team.barrier();
    }
  });
  expect(bad == 0, "a barrier of " + std::to_string(n) + " let a member through too early");
}

void check_work_is_done_once() {
  for (int n : {1, 2, 5}) {
    std::vector<std::atomic<int>> done(1000);
    for (auto& d : done) d = 0;
    for (int repeat = 1; repeat <= 50; ++repeat) {
      std::atomic<size_t> next{0};
      run_together(n, [&](int, Team&) {
        for (size_t i; (i = next++) < done.size();) ++done[i];
      });
      for (auto& d : done) expect(d == repeat, "a piece of work was done " + std::to_string(d) + " times");
    }
  }
}

void check_errors() {
  for (int who : {0, 1, 2}) {
    std::string said;
    try {
      run_together(3, [&](int number, Team& team) {
        team.barrier();
        if (number == who) throw std::runtime_error("member " + std::to_string(number));
        team.barrier();  // the others are not left waiting
      });
    } catch (const std::runtime_error& e) {
      said = e.what();
    }
    expect(said == "member " + std::to_string(who),
           "expected the error of member " + std::to_string(who) + ", got " + said);
  }
  sum_in_rounds(3, 10);
}

void check_waking() {
  for (int n : {1, 2, 5}) {
    const std::thread::id caller = std::this_thread::get_id();
    long calls = 0;
    const bool awake = run_while_waking(n, [&] {
      expect(std::this_thread::get_id() == caller, "another thread than the caller's does the work");
      if (++calls > 1) usleep(1000);
      return calls < 20000;
    });
    expect(awake && calls >= 1, "after 20 s " + std::to_string(n) + " threads are not awake");
    calls = 0;
    run_while_waking(n, [&] { return ++calls, false; });
    expect(calls == 1, "work that was over was called again");
    std::string said;
    try {
      run_while_waking(n, []() -> bool { throw std::runtime_error("over"); });  // the others are not left waiting
    } catch (const std::runtime_error& e) {
      said = e.what();
    }
    expect(said == "over", "expected the error of the work, got " + said);
    sum_in_rounds(n, 10);
  }
}

void check_nested_and_at_once() {
  run_together(2, [](int, Team& team) {
    team.barrier();
    sum_in_rounds(2, 100);
  });
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([] {
      for (int k = 0; k < 20; ++k) sum_in_rounds(3, 20);
    });
  for (std::thread& t : callers) t.join();
}

// While other threads run, too: a child has none of them.
void check_fork() {
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) sum_in_rounds(2, 5);
  });
  for (int i = 0; i < 50; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      wrong = 0;
      sum_in_rounds(3, 10);
      _exit(wrong);
    }
    int status = 1;
    waitpid(child, &status, 0);
    expect(status == 0, "a child hung or failed, status " + std::to_string(status));
    if (status != 0) break;
  }
  stop = true;
  busy.join();
}

}  // namespace

int main(int argc, char** argv) {
  check_threads_are_kept();
  check_work_is_done_once();
  for (int n : {2, 3, 8}) sum_in_rounds(n, 200);
  check_errors();
  check_waking();
  check_nested_and_at_once();
  if (argc > 1 && argv[1] == std::string("fork")) check_fork();
  return wrong != 0;
}
