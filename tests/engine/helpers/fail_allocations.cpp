// Runs programs while memory ends at every place where it is asked for, one after the other: prints, per file, how many
// runs failed, and "changed" if one of them left state or learned parameters that it had changed.
//   fail_allocations BATCH THREADS STEPS FILE...
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <new>
#include <string>
#include <thread>

#include "engine/engine.h"

static std::atomic<long> left{-1};  // allocations until memory ends; -1: it doesn't
static std::atomic<bool> ended{false};

static bool refused() {
  long now = left.load();
  while (now > 0)
    if (left.compare_exchange_weak(now, now - 1)) return false;
  if (now == 0) ended = true;
  return now == 0;
}

void* operator new(size_t n) {
  void* const memory = refused() ? nullptr : std::malloc(n ? n : 1);
  if (!memory) throw std::bad_alloc();
  return memory;
}
void* operator new(size_t n, const std::nothrow_t&) noexcept { return refused() ? nullptr : std::malloc(n ? n : 1); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
extern "C" void* __libc_memalign(size_t, size_t);
extern "C" void* aligned_alloc(size_t a, size_t n) { return refused() ? nullptr : __libc_memalign(a, n); }

namespace {

using namespace nengo_dl;

template <class T>
std::vector<T> pattern(int64_t count) {  // mostly 0, as spikes are
  std::vector<T> values(count);
  for (int64_t i = 0; i < count; i += 37) values[i] = T((i * 37 % 101 + 1) / 50.0);
  return values;
}

template <class T>
struct Run {
  const Compiled& compiled;
  RunArgs<T> args;
  std::vector<std::vector<T>> inputs, params, outputs;
  std::vector<T> state;
  std::vector<int32_t> istate;

  Run(const Compiled& compiled, int64_t batch, int threads, int64_t n_steps) : compiled(compiled) {
    const Program& p = compiled.program();
    args.batch = batch, args.n_steps = n_steps, args.threads = threads;
    args.time_limit = 1000;  // many pieces
    for (const Port& q : p.inputs) inputs.push_back(pattern<T>(q.size * batch * n_steps));
    for (const Param& q : p.params) params.push_back(pattern<T>(q.size * (q.learned ? batch : 1)));
    for (const Port& q : p.outputs) outputs.emplace_back(q.size * batch), args.keep_last.push_back(1);
    state = pattern<T>(p.state_size * batch);
    istate.resize(p.istate_size * batch);
    for (size_t i = 0; i < istate.size(); ++i) istate[i] = static_cast<int32_t>(i * 2654435761u);
    for (auto& v : inputs) args.inputs.push_back(v.data());
    for (auto& v : params) args.params.push_back(v.data());
    for (auto& v : outputs) args.outputs.push_back(v.data());
    args.state = state.data(), args.istate = istate.data();
  }

  // Whether it ran to its end.
  bool with(long allocations) {
    ended = false, left = allocations;
    bool done = true;
    try {
      compiled.run(args);
    } catch (const std::bad_alloc&) {
      done = false;
    }
    left = -1;
    return done;
  }
};

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {  // NaN, too
  return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
std::string fail(const Compiled& compiled, int64_t batch, int threads, int64_t n_steps) {
  int failures = 0;
  for (long k = 0;; ++k) {
    Run<T> run(compiled, batch, threads, n_steps);
    const Run<T> before(compiled, batch, threads, n_steps);
    const bool done = run.with(k);
    if (!ended) return std::to_string(failures);
    if (done) continue;
    ++failures;
    if (!same(run.state, before.state) || !same(run.istate, before.istate)) return "changed";
    for (size_t i = 0; i < run.params.size(); ++i)
      if (!same(run.params[i], before.params[i])) return "changed";
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return std::cerr << "usage: fail_allocations BATCH THREADS STEPS FILE...\n", 2;
  const int64_t batch = std::atoll(argv[1]), steps = std::atoll(argv[3]);
  const int threads = std::atoi(argv[2]);
  for (int i = 4; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const Compiled compiled(bytes);
    std::string found;
    std::thread([&] {  // that has no memory of its own yet
      found = compiled.program().float64 ? fail<double>(compiled, batch, threads, steps)
                                         : fail<float>(compiled, batch, threads, steps);
    })
        .join();
    std::cout << found << std::endl;
  }
}
