// Stacks between which a thread of the host goes to and fro.
#pragma once

#include <sys/mman.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdlib>

namespace host_gpu {

constexpr size_t kStack = 256 << 10;  // bytes, of which few are ever touched

inline char* stack_memory() {
  void* const p = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) std::abort();
  return static_cast<char*>(p);
}

// Where one more begins, below its end: were all in the same place of a page, few of them would fit in a cache.
inline size_t next_place() {
  static size_t made = 0;
  return 64 * (made++ * 13 % 64);
}

// For ThreadSanitizer, each stack is a thread; what comes after what is told to it. HOST_GPU_RACES: it is there.
#ifdef HOST_GPU_RACES
extern "C" {
void* __tsan_create_fiber(unsigned flags);
void* __tsan_get_current_fiber();
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* at);
void __tsan_release(void* at);
void __tsan_read_range(void* at, size_t bytes);
void __tsan_write_range(void* at, size_t bytes);
}
struct Fiber {
  void* fiber = nullptr;
  void create() { fiber = __tsan_create_fiber(0); }
  void is_this() { fiber = __tsan_get_current_fiber(); }
  void begin() const { __tsan_switch_to_fiber(fiber, 1); }  // which alone orders nothing
};
inline void comes_before(void* at) { __tsan_release(at); }
inline void comes_after(void* at) { __tsan_acquire(at); }
inline void copies(void* to, const void* from, size_t bytes) {
  __tsan_read_range(const_cast<void*>(from), bytes);
  __tsan_write_range(to, bytes);
}
#else
struct Fiber {
  void create() {}
  void is_this() {}
  void begin() const {}
};
inline void comes_before(void*) {}
inline void comes_after(void*) {}
inline void copies(void*, const void*, size_t) {}
#endif

#ifdef __x86_64__

// Keeps what a function has to keep, and goes on where the other stack was left.
extern "C" void host_gpu_go(void** from, void* to);
asm(R"(
  .pushsection .text
  .weak host_gpu_go
  .hidden host_gpu_go
host_gpu_go:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .popsection
)");

struct Stack : Fiber {
  Stack() = default;                 // the one that is used already
  explicit Stack(void (*begin)()) {  // `begin` never returns
    void** const end = reinterpret_cast<void**>(stack_memory() + kStack - next_place());
    end[-2] = reinterpret_cast<void*>(begin), at = end - 8;
    create();
  }
  void* at = nullptr;
};
inline void go(Stack& from, Stack& to) {
  to.begin();
  host_gpu_go(&from.at, to.at);
}

#else

struct Stack : Fiber {
  Stack() = default;
  explicit Stack(void (*begin)()) {
    getcontext(&at);
    at.uc_stack.ss_sp = stack_memory(), at.uc_stack.ss_size = kStack - next_place(), at.uc_link = nullptr;
    makecontext(&at, begin, 0);
    create();
  }
  ucontext_t at;
};
inline void go(Stack& from, Stack& to) {
  to.begin();
  swapcontext(&from.at, &to.at);
}

#endif

}  // namespace host_gpu
