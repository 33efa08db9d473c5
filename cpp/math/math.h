// Elementary functions on scalars and vectors, branch-free, at most 2 ulp from the truth (tanh of doubles: 2.2).
// exp, expm1: reduction by multiples of ln 2 and a Taylor polynomial on |r| <= ln(2)/2.
// log1p: the method and the coefficients of FDLIBM (Sun Microsystems, 1993). tanh: from expm1.
#pragma once

#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {

// Tables are functions: device code can't read an array that is a static member.
template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr int mantissa = 23, bias = 127, order = 8, log_order = 4;
  static constexpr float round = 12582912.0f;                                         // 1.5 * 2^23
  static constexpr float ln2_hi = 0x1.62e4p-1f, ln2_lo = 1.42860682030941723212e-6f;  // hi: 15 bits, n*hi is exact
  static constexpr float exp_min = -104.0f, exp_max = 89.0f;                          // beyond: 0 and infinity
  static constexpr float scale_min = -120.0f, scale_max = 120.0f;  // exponents beyond are scaled in two steps
  static constexpr int two_steps = 64;
  static constexpr float expm1_min = -18.0f, expm1_max = 89.0f;
  static constexpr float tiny = 0x1p-25f;
  static constexpr float tanh_max = 10.0f;
  static constexpr uint32_t one = 0x3f800000u, half_sqrt2 = 0x3f3504f3u, fraction = 0x007fffffu;
  static NDL_HD constexpr float log_poly(int i) {
    constexpr float p[log_order] = {0xaaaaaa.0p-24f, 0xccce13.0p-25f, 0x91e9ee.0p-25f, 0xf89e26.0p-26f};
    return p[i];
  }
};

template <>
struct MathConstants<double> {
  static constexpr int mantissa = 52, bias = 1023, order = 13, log_order = 7;
  static constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double ln2_hi = 6.93147180369123816490e-01, ln2_lo = 1.90821492927058770002e-10;
  static constexpr double exp_min = -746.0, exp_max = 710.0;
  static constexpr double scale_min = -1000.0, scale_max = 1000.0;
  static constexpr int two_steps = 512;
  static constexpr double expm1_min = -40.0, expm1_max = 710.0;
  static constexpr double tiny = 0x1p-54;
  static constexpr double tanh_max = 22.0;
  static constexpr uint64_t one = 0x3ff0000000000000u, half_sqrt2 = 0x3fe6a09e667f3bcdu;
  static constexpr uint64_t fraction = 0x000fffffffffffffu;
  static NDL_HD constexpr double log_poly(int i) {
    constexpr double p[log_order] = {6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
                                     2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
                                     1.479819860511658591e-01};
    return p[i];
  }
};

// x = n ln2 + r + c with |r| <= ln(2)/2 and c the rounding error of r; bits: n as an integer in the low bits
template <class V>
struct Reduced {
  V n, r, c;
  typename Lane<V>::Uint bits;
};

template <class V>
NDL_HD Reduced<V> reduce_ln2(V x) {
  using T = typename Lane<V>::scalar;
  using C = MathConstants<T>;
  const V shifted = x * T(1.44269504088896340736) + C::round;
  Reduced<V> o;
  o.bits = bit_cast<typename Lane<V>::Uint>(shifted);
  o.n = shifted - C::round;
  const V hi = x - o.n * C::ln2_hi, lo = o.n * C::ln2_lo;
  o.r = hi - lo;
  o.c = (hi - o.r) - lo;
  return o;
}

// (e^r - 1 - r) for |r| <= ln(2)/2; a lower order will do for a smaller |r|
template <class V, int order = MathConstants<typename Lane<V>::scalar>::order>
NDL_HD V expm1_tail(V r) {
  using T = typename Lane<V>::scalar;
  constexpr double inverse_factorial[14] = {
      1.,        1.,         1. / 2,      1. / 6,       1. / 24,       1. / 120,       1. / 720,
      1. / 5040, 1. / 40320, 1. / 362880, 1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800.};
  V p = r * T(inverse_factorial[order]) + T(inverse_factorial[order - 1]);
  for (int k = order - 2; k >= 2; k--) p = fma(p, r, T(inverse_factorial[k]));
  return p * (r * r);
}

// 2^(n + add), where n sits in the low bits of a number shifted by MathConstants::round
template <class V>
NDL_HD V power_of_2(typename Lane<V>::Uint bits, typename Lane<V>::Uint add) {
  using T = typename Lane<V>::scalar;
  return bit_cast<V>((bits + add) << MathConstants<T>::mantissa);
}

template <class V>
NDL_HD typename Lane<V>::Uint same_bits(uint64_t x) {
  using U = typename Lane<V>::Uint;
  using T = typename Lane<V>::scalar;
  return U{} + (typename Lane<T>::Uint)x;
}

template <class V>
NDL_HD V exp(V x) {
  using T = typename Lane<V>::scalar;
  using C = MathConstants<T>;
  x = select(x < C::exp_min, C::exp_min, select(x > C::exp_max, C::exp_max, x));
  const Reduced<V> o = reduce_ln2(x);
  const V p = T(1) + (o.r + (expm1_tail(o.r) + o.c));
  const auto low = o.n<C::scale_min, high = o.n> C::scale_max;
  // results near the ends of the range: 2^n would be no normal number, so multiply by two powers
  const V shift = select(low, T(C::two_steps), select(high, T(-C::two_steps), V{}));
  const V rest = select(low, power_of_2<V>(same_bits<V>(C::bias - C::two_steps), same_bits<V>(0)),
                        select(high, power_of_2<V>(same_bits<V>(C::bias + C::two_steps), same_bits<V>(0)), V{} + T(1)));
  const V whole = o.n + shift + C::round;
  const auto bits = bit_cast<typename Lane<V>::Uint>(whole);
  return p * power_of_2<V>(bits, same_bits<V>(C::bias)) * rest;
}

template <class V>
NDL_HD V expm1(V x) {
  using T = typename Lane<V>::scalar;
  using C = MathConstants<T>;
  const V clipped = select(x < C::expm1_min, C::expm1_min, select(x > C::expm1_max, C::expm1_max, x));
  const Reduced<V> o = reduce_ln2(clipped);
  const V tail = expm1_tail(o.r) + (o.c + o.c * o.r);
  const V half_scale = power_of_2<V>(o.bits, same_bits<V>(C::bias - 1));  // half: 2^n alone may be too large
  const V head = fma(half_scale, o.r, half_scale - T(0.5));
  const V result = (head + half_scale * tail) * T(2);
  return select((x < C::tiny) & (x > -C::tiny), x, result);
}

template <class V>
NDL_HD V log1p(V x) {
  using T = typename Lane<V>::scalar;
  using C = MathConstants<T>;
  using U = typename Lane<V>::Uint;
  const V u = T(1) + x;
  const U bits = bit_cast<U>(u) + same_bits<V>(C::one - C::half_sqrt2);
  // the exponent, as a float without an integer conversion: its bits in the mantissa of 2^mantissa
  const V exponent = bit_cast<V>((bits >> C::mantissa) | same_bits<V>(uint64_t(C::bias + C::mantissa) << C::mantissa));
  const V k = exponent - (T(C::fraction) + T(1)) - T(C::bias);
  const V m = bit_cast<V>((bits & same_bits<V>(C::fraction)) + same_bits<V>(C::half_sqrt2));
  const auto whole = (k == V{});
  const V lost = select(x >= T(1), T(1) - (u - x), x - (u - T(1))) / u;  // what 1 + x rounded away
  const V f = select(whole, x, m - T(1));
  const V c = select(whole, V{}, lost);
  const V s = f / (T(2) + f), z = s * s, half_square = T(0.5) * f * f;
  V poly = V{} + C::log_poly(C::log_order - 1);
  for (int i = C::log_order - 2; i >= 0; i--) poly = fma(poly, z, C::log_poly(i));
  const V tail = s * (half_square + z * poly) + (k * C::ln2_lo + c);
  V y = k * C::ln2_hi - ((half_square - tail) - f);
  y = select((x < C::tiny) & (x > -C::tiny), x, y);
  y = select(x == T(__builtin_inf()), x, y);
  y = select(x == T(-1), T(-__builtin_inf()), y);
  return select(x < T(-1), T(__builtin_nan("")), select(x != x, x, y));
}

template <class V>
NDL_HD V tanh(V x) {
  using T = typename Lane<V>::scalar;
  using C = MathConstants<T>;
  const V negative = -x;
  const V size = select(x < V{}, negative, x);
  const V clipped = select(size > C::tanh_max, C::tanh_max, size);
  const auto large = clipped > T(0.5493);
  const V t = expm1(T(2) * clipped), sum = t + T(2);
  const V lost = select(t > T(2), (t - sum) + T(2), (T(2) - sum) + t);  // what t + 2 rounded away
  const V q = select(large, T(2), t) / sum;
  const V exact = q - q * lost / sum;
  const V y = select(large, T(1) - exact, exact);
  return select(x < V{}, -y, y);
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
