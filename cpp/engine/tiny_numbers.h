// Numbers too small for a full mantissa (denormal: below 1e-38 in float32). A silent network's filters decay into them
// within a second and stay there, where many processors need a hundred times as long for a product. So the engine's
// threads take them for 0, whoever called; Python's functions get a thread that keeps them, as NumPy expects.
#pragma once

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif defined(__aarch64__)
#include <cstdint>
#endif

namespace nengo_dl {

enum class TinyNumbers { kAreZero, kAreKept };

// What the processor does about them, for as long as this lives: each thread has a register of its own for it.
class Arithmetic {
 public:
  explicit Arithmetic(TinyNumbers tiny) : before_(read()) {
    write(tiny == TinyNumbers::kAreZero ? before_ | kZero : before_ & ~kZero);
  }
  ~Arithmetic() { write((read() & ~kZero) | (before_ & kZero)); }  // flags that were raised meanwhile stay raised
  Arithmetic(const Arithmetic&) = delete;
  Arithmetic& operator=(const Arithmetic&) = delete;

 private:
#if defined(__x86_64__)
  using Register = unsigned;
  static constexpr Register kZero = 0x8040;  // FTZ: results, DAZ: operands
  static Register read() { return _mm_getcsr(); }
  static void write(Register value) { _mm_setcsr(value); }
#elif defined(__aarch64__)
  using Register = uint64_t;
  static constexpr Register kZero = uint64_t{1} << 24;  // FZ: both
  static Register read() {
    Register value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void write(Register value) { asm volatile("msr fpcr, %0" : : "r"(value)); }
#else
  using Register = unsigned;
  static constexpr Register kZero = 0;
  static Register read() { return 0; }
  static void write(Register) {}
#endif

  const Register before_;
};

}  // namespace nengo_dl
