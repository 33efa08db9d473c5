// Vectors, and the few things on which scalars and vectors differ, so that maths is written once as a template on V
// (float, double, or a vector of either) for CPU kernels and for CUDA.
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

// Bytes of a register
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define NDL_SIMD_BYTES 64
#elif defined(__AVX2__)
#define NDL_SIMD_BYTES 32
#else
#define NDL_SIMD_BYTES 16
#endif

namespace nengo_dl {
namespace NDL_ISA {

template <class T>
struct Bare {
  using type = T;
};
template <class T>
struct Bare<T&> {
  using type = T;
};
template <class T>
struct Bare<T&&> {
  using type = T;
};

template <int bytes>
struct BitsOf {
  using type = uint32_t;
};
template <>
struct BitsOf<8> {
  using type = uint64_t;
};

// scalar: type of one lane; Int: what a comparison gives; Uint: the lanes' bits; width: lanes
template <class V>
struct Lane {
  using scalar = typename Bare<decltype(V{}[0])>::type;
  static constexpr int width = sizeof(V) / sizeof(scalar);
  typedef decltype(V{} < V{}) Int;  // for clang, lanes of long long are not those of int64_t
  typedef typename BitsOf<sizeof(scalar)>::type Uint __attribute__((vector_size(sizeof(V))));
};
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

// ---- scalars

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

// a * b + c. Every kernel says where it means one rounding: compilers are told to fuse nothing (-ffp-contract=off), as
// what they fuse by themselves changes with their version, their tuning and the shape of a loop, and with it the sums.
// Where the processor lacks the instruction (baseline) it rounds twice: the C library's would be a call for each lane.
#if defined(__FMA__) || defined(__CUDACC__)
NDL_HD float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
NDL_HD double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
NDL_HD float fma(float a, float b, float c) { return a * b + c; }
NDL_HD double fma(double a, double b, double c) { return a * b + c; }
#endif

#ifndef __CUDACC__
// ---- vectors

template <class T, int Lanes>
struct VecOf {
  typedef T type __attribute__((vector_size(Lanes * sizeof(T))));
};
template <class T, int Lanes>
using Vec = typename VecOf<T, Lanes>::type;
template <class T>
constexpr int kLanes = NDL_SIMD_BYTES / sizeof(T);  // of a register

using F32 = Vec<float, kLanes<float>>;
using F64 = Vec<double, kLanes<double>>;
using I32 = Lane<F32>::Int;
using I64 = Lane<F64>::Int;

template <class T>
struct VectorOf {
  using type = Vec<T, kLanes<T>>;
};

template <class V>
NDL_HD V splat(typename Lane<V>::scalar x) {
  return x - V{};  // compilers make this a broadcast; -0.0 and NaN survive
}
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

// Lanes of u by number, counting on into v.
template <int... I, class V>
NDL_HD V shuffle(V u, V v) {
#ifdef __clang__
  return __builtin_shufflevector(u, v, I...);
#else
  return __builtin_shuffle(u, v, typename Lane<V>::Int{I...});
#endif
}

template <class V>
NDL_HD V fma(V a, V b, V c) {
#ifdef __FMA__
  constexpr bool f32 = sizeof(typename Lane<V>::scalar) == 4;
#ifdef __AVX512F__
  if constexpr (sizeof(V) == 64 && f32) return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
  if constexpr (sizeof(V) == 64 && !f32) return (V)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#endif
  if constexpr (sizeof(V) == 32 && f32) return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  if constexpr (sizeof(V) == 32 && !f32) return (V)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
  if constexpr (sizeof(V) == 16 && f32) return (V)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
  if constexpr (sizeof(V) == 16 && !f32) return (V)_mm_fmadd_pd((__m128d)a, (__m128d)b, (__m128d)c);
  if constexpr (sizeof(V) < 16)  // part of a register
    for (int i = 0; i < Lane<V>::width; i++) c[i] = fma(a[i], b[i], c[i]);
  return c;
#else
  return a * b + c;
#endif
}
template <class V>
NDL_HD V fma(typename Lane<V>::scalar a, V b, V c) {
  return fma(splat<V>(a), b, c);
}
template <class V>
NDL_HD V fma(V a, V b, typename Lane<V>::scalar c) {
  return fma(a, b, splat<V>(c));
}

NDL_HD F32 select(I32 mask, F32 a, F32 b) { return mask ? a : b; }
NDL_HD F64 select(I64 mask, F64 a, F64 b) { return mask ? a : b; }
NDL_HD F32 select(I32 mask, float a, F32 b) { return mask ? splat<F32>(a) : b; }
NDL_HD F64 select(I64 mask, double a, F64 b) { return mask ? splat<F64>(a) : b; }
NDL_HD F32 select(I32 mask, F32 a, float b) { return mask ? a : splat<F32>(b); }
NDL_HD F64 select(I64 mask, F64 a, double b) { return mask ? a : splat<F64>(b); }
NDL_HD F32 select(I32 mask, float a, float b) { return mask ? splat<F32>(a) : splat<F32>(b); }
NDL_HD F64 select(I64 mask, double a, double b) { return mask ? splat<F64>(a) : splat<F64>(b); }

// A mask of the first n lanes.
template <class V>
NDL_HD typename Lane<V>::Int first_lanes(int64_t n) {
  typename Lane<V>::Int number;
  for (int i = 0; i < Lane<V>::width; i++) number[i] = i;
  return number < number * 0 + static_cast<decltype(number[0] + 0)>(n);
}

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
NDL_HD F32 load_part(const float* p, int64_t n) { return (F32)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
NDL_HD F64 load_part(const double* p, int64_t n) { return (F64)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p); }
NDL_HD void store_part(float* p, F32 v, int64_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
NDL_HD void store_part(double* p, F64 v, int64_t n) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v); }
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
NDL_HD I32 part(float, int64_t n) { return I32{0, 1, 2, 3, 4, 5, 6, 7} < (int32_t)n; }
NDL_HD I64 part(double, int64_t n) { return I64{0, 1, 2, 3} < (int64_t)n; }
NDL_HD F32 load_part(const float* p, int64_t n) { return (F32)_mm256_maskload_ps(p, (__m256i)part(0.f, n)); }
NDL_HD F64 load_part(const double* p, int64_t n) { return (F64)_mm256_maskload_pd(p, (__m256i)part(0., n)); }
// halves: a masked store is microcode on Zen
NDL_HD void store_part(float* p, F32 v, int64_t n) {
  __m128 part = _mm256_castps256_ps128((__m256)v);
  if (n & 4) _mm_storeu_ps(p, part), p += 4, part = _mm256_extractf128_ps((__m256)v, 1);
  if (n & 2) _mm_storel_pi((__m64*)p, part), p += 2, part = _mm_movehl_ps(part, part);
  if (n & 1) _mm_store_ss(p, part);
}
NDL_HD void store_part(double* p, F64 v, int64_t n) {
  __m128d part = _mm256_castpd256_pd128((__m256d)v);
  if (n & 2) _mm_storeu_pd(p, part), p += 2, part = _mm256_extractf128_pd((__m256d)v, 1);
  if (n & 1) _mm_store_sd(p, part);
}
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
NDL_HD F32 load_part(const float* p, int64_t n) { return F32{p[0], n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0}; }
NDL_HD F64 load_part(const double* p, int64_t) { return F64{p[0], 0}; }
NDL_HD void store_part(float* p, F32 v, int64_t n) {
  p[0] = v[0];
  if (n > 1) p[1] = v[1];
  if (n > 2) p[2] = v[2];
}
NDL_HD void store_part(double* p, F64 v, int64_t) { p[0] = v[0]; }
#endif

// The lanes of v whose bits are set, in order, at the front; what lies behind them means nothing.
#if NDL_SIMD_BYTES == 64
NDL_HD F32 pack(F32 v, unsigned lanes) { return (F32)_mm512_maskz_compress_ps((__mmask16)lanes, (__m512)v); }
NDL_HD F64 pack(F64 v, unsigned lanes) { return (F64)_mm512_maskz_compress_pd((__mmask8)lanes, (__m512d)v); }
#elif NDL_SIMD_BYTES == 32
struct PackOrders {  // of pieces of 32 bits
  alignas(64) uint8_t f32[1 << 8][8] = {}, f64[1 << 4][8] = {};

  constexpr PackOrders() {
    for (int bits = 0; bits < 1 << 8; bits++)
      for (int lane = 0, to = 0; lane < 8; lane++)
        if (bits >> lane & 1) f32[bits][to++] = uint8_t(lane);
    for (int bits = 0; bits < 1 << 4; bits++)
      for (int piece = 0, to = 0; piece < 8; piece++)
        if (bits >> piece / 2 & 1) f64[bits][to++] = uint8_t(piece);
  }
};
inline constexpr PackOrders pack_orders;
NDL_HD __m256 pack_pieces(__m256 v, const uint8_t* order) {
  return _mm256_permutevar8x32_ps(v, _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)order)));
}
NDL_HD F32 pack(F32 v, unsigned lanes) { return (F32)pack_pieces((__m256)v, pack_orders.f32[lanes]); }
NDL_HD F64 pack(F64 v, unsigned lanes) { return (F64)pack_pieces((__m256)v, pack_orders.f64[lanes]); }
#else
template <class V>
NDL_HD V pack(V v, unsigned lanes) {
  for (int i = 0, to = 0; i < Lane<V>::width; i++) v[to] = v[i], to += lanes >> i & 1;
  return v;
}
#endif
#if NDL_SIMD_BYTES > 16
NDL_HD Lane<F32>::Uint pack(Lane<F32>::Uint v, unsigned lanes) { return (Lane<F32>::Uint)pack((F32)v, lanes); }
NDL_HD Lane<F64>::Uint pack(Lane<F64>::Uint v, unsigned lanes) { return (Lane<F64>::Uint)pack((F64)v, lanes); }
#endif

// The first n lanes (1 .. width) from or to memory with any stride; the other lanes are 0, and left alone.
template <class V>
NDL_HD V gather(const typename Lane<V>::scalar* p, int64_t stride, int64_t n) {
  V v{};
  for (int64_t i = 0; i < n; i++) v[i] = p[i * stride];
  return v;
}
template <class V>
NDL_HD void scatter(typename Lane<V>::scalar* p, int64_t stride, V v, int64_t n) {
  for (int64_t i = 0; i < n; i++) p[i * stride] = v[i];
}
#endif  // __CUDACC__

}  // namespace NDL_ISA
}  // namespace nengo_dl
