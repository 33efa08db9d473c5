// Vectors of one register's width, and the few things on which scalars and vectors differ, so that maths
// is written once as a template on V (float, double, or a vector of either) for CPU kernels and for CUDA.
// Included by kernel sources only: everything lives in the namespace of the instruction set.
#pragma once

#include <stdint.h>
#if defined(__SSE2__) && !defined(__CUDACC__)
#include <immintrin.h>
#endif

#ifdef __CUDACC__
#define NDL_HD __host__ __device__ __forceinline__
#else
#define NDL_HD inline __attribute__((always_inline))
#endif

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define NDL_SIMD_BYTES 64
#elif defined(__AVX2__)
#define NDL_SIMD_BYTES 32
#else
#define NDL_SIMD_BYTES 16
#endif

namespace nengo_dl {
namespace NDL_ISA {

// ---- scalars

template <class V>
struct Lane;  // scalar: type of one lane; Int, Uint: of the lanes' bits; width: lanes
template <>
struct Lane<float> {
  using scalar = float;
  using Int = int32_t;
  using Uint = uint32_t;
  static constexpr int width = 1;
};
template <>
struct Lane<double> {
  using scalar = double;
  using Int = int64_t;
  using Uint = uint64_t;
  static constexpr int width = 1;
};

template <class To, class From>
NDL_HD To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "equal sizes");
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

NDL_HD bool any(bool mask) { return mask; }
NDL_HD float at_least(float x, float low) { return x < low ? low : x; }  // NaN stays NaN
NDL_HD double at_least(double x, double low) { return x < low ? low : x; }
NDL_HD float at_most(float x, float high) { return x > high ? high : x; }
NDL_HD double at_most(double x, double high) { return x > high ? high : x; }
NDL_HD float select(bool mask, float a, float b) { return mask ? a : b; }
NDL_HD double select(bool mask, double a, double b) { return mask ? a : b; }
NDL_HD float floor(float x) { return __builtin_floorf(x); }
NDL_HD double floor(double x) { return __builtin_floor(x); }
#if defined(__FMA__) || defined(__CUDACC__)
NDL_HD float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
NDL_HD double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
NDL_HD float fma(float a, float b, float c) { return a * b + c; }
NDL_HD double fma(double a, double b, double c) { return a * b + c; }
#endif

#ifndef __CUDACC__
// ---- vectors

typedef float F32 __attribute__((vector_size(NDL_SIMD_BYTES)));
typedef double F64 __attribute__((vector_size(NDL_SIMD_BYTES)));
typedef decltype(F32{} < F32{}) I32;  // masks: for clang, lanes of long long are not those of int64_t
typedef decltype(F64{} < F64{}) I64;
typedef uint32_t U32 __attribute__((vector_size(NDL_SIMD_BYTES)));
typedef uint64_t U64 __attribute__((vector_size(NDL_SIMD_BYTES)));

template <>
struct Lane<F32> {
  using scalar = float;
  using Int = I32;
  using Uint = U32;
  static constexpr int width = NDL_SIMD_BYTES / 4;
};
template <>
struct Lane<F64> {
  using scalar = double;
  using Int = I64;
  using Uint = U64;
  static constexpr int width = NDL_SIMD_BYTES / 8;
};

template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  using type = F32;
};
template <>
struct VectorOf<double> {
  using type = F64;
};

NDL_HD F32 splat(float x) { return x - F32{}; }
NDL_HD F64 splat(double x) { return x - F64{}; }

NDL_HD F32 select(I32 mask, F32 a, F32 b) { return mask ? a : b; }
NDL_HD F64 select(I64 mask, F64 a, F64 b) { return mask ? a : b; }
NDL_HD F32 select(I32 mask, float a, F32 b) { return mask ? splat(a) : b; }
NDL_HD F64 select(I64 mask, double a, F64 b) { return mask ? splat(a) : b; }
NDL_HD F32 select(I32 mask, F32 a, float b) { return mask ? a : splat(b); }
NDL_HD F64 select(I64 mask, F64 a, double b) { return mask ? a : splat(b); }
NDL_HD F32 select(I32 mask, float a, float b) { return mask ? splat(a) : splat(b); }
NDL_HD F64 select(I64 mask, double a, double b) { return mask ? splat(a) : splat(b); }

// lane_bits: bit i is set if lane i of the mask is. The order of min and max matters: NaN gives the second operand.
#if NDL_SIMD_BYTES == 64  // maskz: GCC 12 warns about the plain forms
NDL_HD F32 at_least(F32 x, float low) {
  return (F32)_mm512_maskz_max_ps((__mmask16)-1, _mm512_set1_ps(low), (__m512)x);
}
NDL_HD F64 at_least(F64 x, double low) {
  return (F64)_mm512_maskz_max_pd((__mmask8)-1, _mm512_set1_pd(low), (__m512d)x);
}
NDL_HD F32 at_most(F32 x, float high) {
  return (F32)_mm512_maskz_min_ps((__mmask16)-1, _mm512_set1_ps(high), (__m512)x);
}
NDL_HD F64 at_most(F64 x, double high) {
  return (F64)_mm512_maskz_min_pd((__mmask8)-1, _mm512_set1_pd(high), (__m512d)x);
}
NDL_HD unsigned lane_bits(I32 m) { return _mm512_movepi32_mask((__m512i)m); }
NDL_HD unsigned lane_bits(I64 m) { return _mm512_movepi64_mask((__m512i)m); }
NDL_HD bool any(I32 m) { return _mm512_movepi32_mask((__m512i)m) != 0; }
NDL_HD bool any(I64 m) { return _mm512_movepi64_mask((__m512i)m) != 0; }
NDL_HD F32 floor(F32 x) { return (F32)_mm512_floor_ps((__m512)x); }
NDL_HD F64 floor(F64 x) { return (F64)_mm512_floor_pd((__m512d)x); }
NDL_HD F32 fma(F32 a, F32 b, F32 c) { return (F32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
NDL_HD F64 fma(F64 a, F64 b, F64 c) { return (F64)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
// compress: the lanes of a mask side by side; expand: back to their places, not from memory: that is microcode on Zen 4
NDL_HD F32 compress(unsigned m, F32 v) { return (F32)_mm512_maskz_compress_ps((__mmask16)m, (__m512)v); }
NDL_HD F64 compress(unsigned m, F64 v) { return (F64)_mm512_maskz_compress_pd((__mmask8)m, (__m512d)v); }
NDL_HD F32 expand(unsigned m, F32 v) {
  __asm__("" : "+v"(v));
  return (F32)_mm512_maskz_expand_ps((__mmask16)m, (__m512)v);
}
NDL_HD F64 expand(unsigned m, F64 v) {
  __asm__("" : "+v"(v));
  return (F64)_mm512_maskz_expand_pd((__mmask8)m, (__m512d)v);
}
NDL_HD F32 blend(unsigned m, F32 a, F32 b) { return (F32)_mm512_mask_blend_ps((__mmask16)m, (__m512)b, (__m512)a); }
NDL_HD F64 blend(unsigned m, F64 a, F64 b) { return (F64)_mm512_mask_blend_pd((__mmask8)m, (__m512d)b, (__m512d)a); }
NDL_HD F32 load_part(const float* p, long n) { return (F32)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
NDL_HD F64 load_part(const double* p, long n) { return (F64)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p); }
NDL_HD void store_part(float* p, F32 v, long n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
NDL_HD void store_part(double* p, F64 v, long n) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v); }
#elif NDL_SIMD_BYTES == 32
NDL_HD F32 at_least(F32 x, float low) { return (F32)_mm256_max_ps(_mm256_set1_ps(low), (__m256)x); }
NDL_HD F64 at_least(F64 x, double low) { return (F64)_mm256_max_pd(_mm256_set1_pd(low), (__m256d)x); }
NDL_HD F32 at_most(F32 x, float high) { return (F32)_mm256_min_ps(_mm256_set1_ps(high), (__m256)x); }
NDL_HD F64 at_most(F64 x, double high) { return (F64)_mm256_min_pd(_mm256_set1_pd(high), (__m256d)x); }
NDL_HD unsigned lane_bits(I32 m) { return _mm256_movemask_ps((__m256)m); }
NDL_HD unsigned lane_bits(I64 m) { return _mm256_movemask_pd((__m256d)m); }
NDL_HD bool any(I32 m) { return _mm256_movemask_ps((__m256)m) != 0; }
NDL_HD bool any(I64 m) { return _mm256_movemask_pd((__m256d)m) != 0; }
NDL_HD F32 floor(F32 x) { return (F32)_mm256_floor_ps((__m256)x); }
NDL_HD F64 floor(F64 x) { return (F64)_mm256_floor_pd((__m256d)x); }
NDL_HD F32 fma(F32 a, F32 b, F32 c) { return (F32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
NDL_HD F64 fma(F64 a, F64 b, F64 c) { return (F64)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
NDL_HD I32 part(float, long n) { return I32{0, 1, 2, 3, 4, 5, 6, 7} < (int32_t)n; }
NDL_HD I64 part(double, long n) { return I64{0, 1, 2, 3} < (int64_t)n; }
NDL_HD F32 load_part(const float* p, long n) { return (F32)_mm256_maskload_ps(p, (__m256i)part(0.f, n)); }
NDL_HD F64 load_part(const double* p, long n) { return (F64)_mm256_maskload_pd(p, (__m256i)part(0., n)); }
NDL_HD void store_part(float* p, F32 v, long n) { _mm256_maskstore_ps(p, (__m256i)part(0.f, n), (__m256)v); }
NDL_HD void store_part(double* p, F64 v, long n) { _mm256_maskstore_pd(p, (__m256i)part(0., n), (__m256d)v); }
#else
NDL_HD F32 at_least(F32 x, float low) { return select(x < low, low, x); }
NDL_HD F64 at_least(F64 x, double low) { return select(x < low, low, x); }
NDL_HD F32 at_most(F32 x, float high) { return select(x > high, high, x); }
NDL_HD F64 at_most(F64 x, double high) { return select(x > high, high, x); }
#ifdef __SSE2__
NDL_HD unsigned lane_bits(I32 m) { return _mm_movemask_ps((__m128)m); }
NDL_HD unsigned lane_bits(I64 m) { return _mm_movemask_pd((__m128d)m); }
#else
NDL_HD unsigned lane_bits(I32 m) { return (m[0] & 1) | (m[1] & 2) | (m[2] & 4) | (m[3] & 8); }
NDL_HD unsigned lane_bits(I64 m) { return (m[0] & 1) | (m[1] & 2); }
#endif
template <class I>
NDL_HD bool any_lane(I m) {
  using U = uint64_t __attribute__((vector_size(16)));
  const U u = bit_cast<U>(m);
  return (u[0] | u[1]) != 0;
}
NDL_HD bool any(I32 m) { return any_lane(m); }
NDL_HD bool any(I64 m) { return any_lane(m); }
NDL_HD F32 floor(F32 x) { return F32{floor(x[0]), floor(x[1]), floor(x[2]), floor(x[3])}; }
NDL_HD F64 floor(F64 x) { return F64{floor(x[0]), floor(x[1])}; }
NDL_HD F32 fma(F32 a, F32 b, F32 c) { return a * b + c; }
NDL_HD F64 fma(F64 a, F64 b, F64 c) { return a * b + c; }
NDL_HD F32 load_part(const float* p, long n) { return F32{p[0], n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0}; }
NDL_HD F64 load_part(const double* p, long) { return F64{p[0], 0}; }
NDL_HD void store_part(float* p, F32 v, long n) {
  p[0] = v[0];
  if (n > 1) p[1] = v[1];
  if (n > 2) p[2] = v[2];
}
NDL_HD void store_part(double* p, F64 v, long) { p[0] = v[0]; }
#endif

NDL_HD F32 fma(float a, F32 b, F32 c) { return fma(splat(a), b, c); }
NDL_HD F64 fma(double a, F64 b, F64 c) { return fma(splat(a), b, c); }
NDL_HD F32 fma(F32 a, F32 b, float c) { return fma(a, b, splat(c)); }
NDL_HD F64 fma(F64 a, F64 b, double c) { return fma(a, b, splat(c)); }

template <class V>
NDL_HD V load(const typename Lane<V>::scalar* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class V>
NDL_HD void store(typename Lane<V>::scalar* p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// The first n lanes (1 .. width) from or to memory with any stride; the other lanes are 0, and left alone.
template <class V>
NDL_HD V gather(const typename Lane<V>::scalar* p, long stride, long n) {
  V v{};
  for (long i = 0; i < n; i++) v[i] = p[i * stride];
  return v;
}
template <class V>
NDL_HD void scatter(typename Lane<V>::scalar* p, long stride, V v, long n) {
  for (long i = 0; i < n; i++) p[i * stride] = v[i];
}
#endif  // __CUDACC__

}  // namespace NDL_ISA
}  // namespace nengo_dl
