#include "kernels/learning.h"

#include "kernels/dot.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// y = f(x, w), or y += f(x, w), element by element; without w if w.p is null.
template <bool Add, class T, class F>
NDL_HD void map_row(const LearningRow<T>& r, F f) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  const bool two = r.w.p != nullptr;
  if (r.x.stride != 1 || r.y.stride != 1 || (two && r.w.stride != 1)) {
    for (int64_t j = 0; j < r.n; j++) {
      T& y = r.y.p[j * r.y.stride];
      const T change = f(r.x.p[j * r.x.stride], two ? r.w.p[j * r.w.stride] : T(0));
      y = Add ? y + change : change;
    }
    return;
  }
  int64_t j = 0;
  for (; j + W <= r.n; j += W) {
    const V change = f(load<V>(r.x.p + j), two ? load<V>(r.w.p + j) : V{});
    store<V>(r.y.p + j, Add ? load<V>(r.y.p + j) + change : change);
  }
  const int64_t rest = r.n - j;
  if (rest == 0) return;
  const V change = f(load_part(r.x.p + j, rest), two ? load_part(r.w.p + j, rest) : V{});
  store_part(r.y.p + j, Add ? load_part(r.y.p + j, rest) + change : change, rest);
}

template <class T, class F>
NDL_HD void map_row(const LearningRow<T>& r, F f) {
  r.add ? map_row<true>(r, f) : map_row<false>(r, f);
}

template <class T>
struct Outer {
  T s;
  template <class V>
  NDL_HD V operator()(V x, V) const {
    return s * x;
  }
};
template <class T>
struct Oja {
  T s, q, forget;
  template <class V>
  NDL_HD V operator()(V x, V w) const {
    return forget * w * q + s * x;
  }
};
template <class T>
struct Voja {
  T rate, scale, post;
  template <class V>
  NDL_HD V operator()(V x, V w) const {
    return rate * (scale * (post * x) - post * w);
  }
};

template <class T>
NDL_HD void minus_row(T* now, const T* old, T s, const T* x, int64_t n) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  int64_t j = 0;
  for (; j + W <= n; j += W) store<V>(now + j, load<V>(old + j) - s * load<V>(x + j));
  if (j < n) store_part(now + j, load_part(old + j, n - j) - s * load_part(x + j, n - j), n - j);
}

}  // namespace

void outer_row32(const LearningRow<float>& r) { map_row(r, Outer<float>{r.s}); }
void outer_row64(const LearningRow<double>& r) { map_row(r, Outer<double>{r.s}); }
void oja_row32(const LearningRow<float>& r) { map_row(r, Oja<float>{r.s, r.q, r.forget}); }
void oja_row64(const LearningRow<double>& r) { map_row(r, Oja<double>{r.s, r.q, r.forget}); }
void voja_row32(const LearningRow<float>& r) { map_row(r, Voja<float>{r.rate, r.scale, r.post}); }
void voja_row64(const LearningRow<double>& r) { map_row(r, Voja<double>{r.rate, r.scale, r.post}); }
float dot32(const float* x, const float* y, int64_t n) { return dot(SideBySide<float>{x}, SideBySide<float>{y}, n); }
double dot64(const double* x, const double* y, int64_t n) {
  return dot(SideBySide<double>{x}, SideBySide<double>{y}, n);
}
void minus_row32(float* now, const float* old, float s, const float* x, int64_t n) { minus_row(now, old, s, x, n); }
void minus_row64(double* now, const double* old, double s, const double* x, int64_t n) { minus_row(now, old, s, x, n); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
