// Counts calls of the allocator while programs run: prints, per file, the calls of a short and of a long run, or of
// their gradients (nothing for a program that has none).
//   count_allocations run|grad BATCH THREADS SHORT LONG FILE...
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "engine/engine.h"

// The allocator of the whole process, the engine's library included, under its public names.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
}

static std::atomic<long> calls{0};

extern "C" {
void* malloc(size_t n) { return ++calls, __libc_malloc(n); }
void* calloc(size_t n, size_t m) { return ++calls, __libc_calloc(n, m); }
void* realloc(void* p, size_t n) { return ++calls, __libc_realloc(p, n); }
void* aligned_alloc(size_t a, size_t n) { return ++calls, __libc_memalign(a, n); }
void* memalign(size_t a, size_t n) { return ++calls, __libc_memalign(a, n); }
int posix_memalign(void** p, size_t a, size_t n) { return ++calls, (*p = __libc_memalign(a, n)) ? 0 : ENOMEM; }
void free(void* p) { __libc_free(p); }
}

namespace {

using namespace nengo_dl;

template <class T>
std::vector<T> pattern(int64_t count) {  // small numbers that repeat after an odd length
  std::vector<T> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = T((i * 37 % 101) / 50.0);
  return values;
}

// The gradient by all there is; no values are kept, so every window is run again.
template <class T>
long count_back(const Compiled& compiled, const RunArgs<T>& args) {
  const Program& p = compiled.program();
  std::vector<std::vector<T>> memory;
  auto add = [&](int64_t size) { return memory.emplace_back(pattern<T>(size)).data(); };
  GradArgs<T> grad;
  grad.run = args, grad.run.record.memory = 0;
  for (const Port& q : p.outputs) grad.output_grads.push_back(add(q.size * args.batch));
  for (const Port& q : p.inputs) grad.input_grads.push_back(add(q.size * args.batch * args.n_steps));
  for (const Param& q : p.params) {
    grad.param_grads.push_back(add(q.size * (q.learned ? args.batch : 1)));
    grad.learned_grads.push_back(nullptr);
  }
  grad.state_grad = add(p.state_size * args.batch);
  const long before = calls;
  compiled.grad(grad);
  return calls - before;
}

template <class T>
long count_calls(const Compiled& compiled, int64_t batch, int threads, int64_t n_steps, bool back) {
  const Program& p = compiled.program();
  std::vector<std::vector<T>> inputs, params, outputs;
  RunArgs<T> args;
  args.batch = batch, args.n_steps = n_steps, args.threads = threads;
  for (const Port& q : p.inputs) inputs.push_back(pattern<T>(q.size * batch * n_steps));
  for (const Param& q : p.params) params.push_back(pattern<T>(q.size * (q.learned ? batch : 1)));
  for (const Port& q : p.outputs) outputs.emplace_back(q.size * batch), args.keep_last.push_back(1);
  std::vector<T> state = pattern<T>(p.state_size * batch);
  std::vector<int32_t> istate(p.istate_size * batch);
  for (size_t i = 0; i < istate.size(); ++i) istate[i] = static_cast<int32_t>(i * 2654435761u);
  for (auto& v : inputs) args.inputs.push_back(v.data());
  for (auto& v : params) args.params.push_back(v.data());
  for (auto& v : outputs) args.outputs.push_back(v.data());
  args.state = state.data(), args.istate = istate.data();
  if (back) return count_back(compiled, args);
  const long before = calls;
  compiled.run(args);
  return calls - before;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) return std::cerr << "usage: count_allocations run|grad BATCH THREADS SHORT LONG FILE...\n", 2;
  const bool back = argv[1] == std::string("grad");
  const int64_t batch = std::atoll(argv[2]), steps[] = {std::atoll(argv[4]), std::atoll(argv[5])};
  for (int i = 6; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const Compiled compiled(bytes);
    for (int64_t n : {steps[0], steps[0], steps[1], steps[1]}) {  // the first run of a length sets things up
      const bool wide = compiled.program().float64;
      const int threads = std::atoi(argv[3]);
      try {
        std::cout << (wide ? count_calls<double>(compiled, batch, threads, n, back)
                           : count_calls<float>(compiled, batch, threads, n, back))
                  << ' ';
      } catch (const ProgramError&) {  // no gradient
      }
    }
    std::cout << std::endl;
  }
}
