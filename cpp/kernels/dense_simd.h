// Vectors for the dense kernels, as GCC and clang know them. Included by kernel sources only.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define NDL_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define NDL_VECTOR_BYTES 32
#else
#define NDL_VECTOR_BYTES 16
#endif

#define NDL_INLINE inline __attribute__((always_inline))

namespace nengo_dl {
namespace NDL_ISA {
namespace {

template <class T, int Lanes>
struct VecOf {
  typedef T type __attribute__((vector_size(Lanes * sizeof(T))));
};
template <class T, int Lanes>
using Vec = typename VecOf<T, Lanes>::type;
template <class T>
constexpr int kLanes = NDL_VECTOR_BYTES / sizeof(T);

template <class T, int Lanes>
NDL_INLINE Vec<T, Lanes> load(const T* p) {
  Vec<T, Lanes> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class T, int Lanes>
NDL_INLINE void store(T* p, Vec<T, Lanes> v) {
  __builtin_memcpy(p, &v, sizeof v);
}

template <class T, int Lanes>
NDL_INLINE Vec<T, Lanes> broadcast(T x) {
  return x - Vec<T, Lanes>{};  // GCC makes this a broadcast; -0.0 and NaN survive
}

}  // namespace
}  // namespace NDL_ISA
}  // namespace nengo_dl
