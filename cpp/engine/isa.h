// One library, several instruction sets. A kernel source is compiled once for each set with NDL_ISA defined as
// the set's namespace (`baseline`, `avx2`, `avx512`) and puts everything it defines into nengo_dl::NDL_ISA (helpers in
// headers it includes, too, so that no inline function compiled for AVX-512 can be picked by the linker for an older
// processor; for that reason kernel sources use no standard library templates).
#pragma once

namespace nengo_dl {

enum class Isa { baseline, avx2, avx512 };
Isa current_isa();  // chosen at load time: the best this processor has, or NENGO_DL_ISA

// Declares a kernel in each namespace: NDL_DECLARE_KERNEL(void, lif32, (float* v, int64_t n));
#define NDL_DECLARE_KERNEL(ret, name, args) \
  namespace baseline {                      \
  ret name args;                            \
  }                                         \
  namespace avx2 {                          \
  ret name args;                            \
  }                                         \
  namespace avx512 {                        \
  ret name args;                            \
  }

// The address of the kernel for the current instruction set. Call it when an op is compiled, not per step.
#ifdef NDL_ONLY_BASELINE  // other processors than x86-64
#define NDL_PICK(name) (&::nengo_dl::baseline::name)
#else
#define NDL_PICK(name)                                                              \
  (::nengo_dl::current_isa() == ::nengo_dl::Isa::avx512 ? &::nengo_dl::avx512::name \
   : ::nengo_dl::current_isa() == ::nengo_dl::Isa::avx2 ? &::nengo_dl::avx2::name   \
                                                        : &::nengo_dl::baseline::name)
#endif

// The kernel of the scalar type: NDL_PICK_TYPED(T, lif) is lif32 or lif64.
template <class T, class F32, class F64>
auto pick_typed([[maybe_unused]] F32 f32, [[maybe_unused]] F64 f64) {
  if constexpr (sizeof(T) == 4)
    return f32;
  else
    return f64;
}
#define NDL_PICK_TYPED(T, name) ::nengo_dl::pick_typed<T>(NDL_PICK(name##32), NDL_PICK(name##64))

}  // namespace nengo_dl
