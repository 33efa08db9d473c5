#include "kernels/filters.h"

#include "math/simd.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// Few elements: they stay in a register while the steps go by.
template <class T>
void lowpass_narrow(const LowpassCall<T>& c) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  const bool unit = c.x_stride == 1 && c.y_stride == 1;
  for (int64_t i = 0; i < c.n; i += W) {
    const int64_t count = c.n - i < W ? c.n - i : W;
    const T* x = c.x + i * c.x_stride;
    T* y = c.y + i * c.y_stride;
    V value = gather<V>(y - c.old, c.y_stride, count);
    for (int64_t t = 0; t < c.steps; t++, x += c.x_row, y += c.y_row) {
      const V in = !unit ? gather<V>(x, c.x_stride, count) : count == W ? load<V>(x) : load_part(x, count);
      value = c.a * value + c.b * in;
      if (!unit)
        scatter(y, c.y_stride, value, count);
      else if (count == W)
        store(y, value);
      else
        store_part(y, value, count);
    }
  }
}

template <class T>
void lowpass_single(const LowpassCall<T>& c) {
  T value = *(c.y - c.old);
  const T* x = c.x;
  T* y = c.y;
  for (int64_t t = 0; t < c.steps; t++, x += c.x_row, y += c.y_row) *y = value = c.a * value + c.b * *x;
}

template <class T>
void lowpass_wide(const LowpassCall<T>& c) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  for (int64_t t = 0; t < c.steps; t++) {
    const T* x = c.x + t * c.x_row;
    T* y = c.y + t * c.y_row;
    const T* old = y - c.old;
    int64_t i = 0;
    for (; i + W <= c.n; i += W) store<V>(y + i, c.a * load<V>(old + i) + c.b * load<V>(x + i));
    const int64_t rest = c.n - i;
    if (rest > 0) store_part(y + i, c.a * load_part(old + i, rest) + c.b * load_part(x + i, rest), rest);
  }
}

template <class T>
void lowpass(const LowpassCall<T>& c) {
  constexpr int64_t W = Lane<typename VectorOf<T>::type>::width;
  if (c.n == 1) return lowpass_single(c);
  if (c.n > 4 * W && c.x_stride == 1 && c.y_stride == 1) return lowpass_wide(c);
  lowpass_narrow(c);
}

// One vector of elements through the system; `count` lanes of them exist.
template <class T, class V, class Get, class Put>
NDL_HD void filter_lanes(const FilterCall<T>& c, int64_t i, Get get, Put put) {
  const V x = get(c.x + i);
  V y = c.D * x;
  if (c.direct)
    for (int64_t k = 0; k < c.order; k++) y = fma(c.C[k], get(c.old + k * c.old_stride + i), y);
  for (int64_t k = 0; k < c.order; k++) {
    V value = c.B[k] * x;
    const T* row = c.A + k * c.order;
    for (int64_t l = 0; l < c.order; l++) value = fma(row[l], get(c.old + l * c.old_stride + i), value);
    put(c.now + k * c.now_stride + i, value);
  }
  if (!c.direct)
    for (int64_t k = 0; k < c.order; k++) y = fma(c.C[k], get(c.now + k * c.now_stride + i), y);
  put(c.y + i, y);
}

template <class T>
void filter(const FilterCall<T>& c) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  int64_t i = 0;
  for (; i + W <= c.n; i += W)
    filter_lanes<T, V>(
        c, i, [](const T* p) { return load<V>(p); }, [](T* p, V v) { store(p, v); });
  const int64_t rest = c.n - i;
  if (rest > 0)
    filter_lanes<T, V>(
        c, i, [rest](const T* p) { return load_part(p, rest); }, [rest](T* p, V v) { store_part(p, v, rest); });
}

// ---- gradients

// Lanes that may lie in one place (stride 0) are added one by one.
template <class T, class V>
NDL_HD void add_lanes(T* p, int64_t stride, V value, int64_t count) {
  constexpr int64_t W = Lane<V>::width;
  if (stride != 1) {
    for (int64_t i = 0; i < count; i++) p[i * stride] += value[i];
  } else if (count == W) {
    store<V>(p, load<V>(p) + value);
  } else {
    store_part(p, load_part(p, count) + value, count);
  }
}

template <class T>
void lowpass_grad_narrow(const LowpassGradCall<T>& c) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  for (int64_t i = 0; i < c.n; i += W) {
    const int64_t count = c.n - i < W ? c.n - i : W;
    T* dx = c.dx ? c.dx + i * c.x_stride : nullptr;
    T* dy = c.dy + i * c.y_stride;
    V value = gather<V>(dy, c.y_stride, count);
    for (int64_t t = 0; t < c.steps; t++) {
      if (dx) {
        add_lanes(dx, c.x_stride, c.b * value, count);
        dx -= c.x_row;
      }
      value = c.a * value;
      if (c.y_row == 0) continue;
      dy -= c.y_row;
      value += gather<V>(dy, c.y_stride, count);
      scatter(dy, c.y_stride, value, count);
    }
    if (c.y_row == 0) scatter(dy, c.y_stride, value, count);
  }
}

template <class T>
void lowpass_grad_wide(const LowpassGradCall<T>& c) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  for (int64_t t = 0; t < c.steps; t++) {
    T* dx = c.dx ? c.dx - t * c.x_row : nullptr;
    const T* dy = c.dy - t * c.y_row;
    T* old = c.dy - t * c.y_row - c.y_row;
    for (int64_t i = 0; i < c.n; i += W) {
      const int64_t count = c.n - i < W ? c.n - i : W;
      const V value = count == W ? load<V>(dy + i) : load_part(dy + i, count);
      if (dx) add_lanes(dx + i, 1, c.b * value, count);
      if (c.y_row != 0)
        add_lanes(old + i, 1, c.a * value, count);
      else if (count == W)
        store<V>(old + i, c.a * value);
      else
        store_part(old + i, c.a * value, count);
    }
  }
}

template <class T>
void lowpass_grad(const LowpassGradCall<T>& c) {
  constexpr int64_t W = Lane<typename VectorOf<T>::type>::width;
  if (c.n > 4 * W && c.y_stride == 1 && (!c.dx || c.x_stride == 1)) return lowpass_grad_wide(c);
  lowpass_grad_narrow(c);
}

template <class T, class V, class Get, class Put>
NDL_HD void filter_grad_lanes(const FilterGradCall<T>& c, int64_t i, Get get, Put put) {
  const V dy = c.dy ? get(c.dy + i) : V{};
  const int64_t order = c.next ? c.order : 0;
  if (c.dx) {
    V value = c.add_x ? get(c.dx + i) : V{};
    value = fma(c.F, dy, value);
    for (int64_t l = 0; l < order; l++) value = fma(c.B[l], get(c.next + l * c.next_stride + i), value);
    put(c.dx + i, value);
  }
  if (!c.old) return;
  for (int64_t k = 0; k < c.order; k++) {
    T* to = c.old + k * c.old_stride + i;
    V value = c.add_old ? get(to) : V{};
    value = fma(c.E[k], dy, value);
    for (int64_t l = 0; l < order; l++) value = fma(c.A[l * c.order + k], get(c.next + l * c.next_stride + i), value);
    put(to, value);
  }
}

template <class T>
void filter_grad(const FilterGradCall<T>& c) {
  using V = typename VectorOf<T>::type;
  constexpr int64_t W = Lane<V>::width;
  int64_t i = 0;
  for (; i + W <= c.n; i += W)
    filter_grad_lanes<T, V>(
        c, i, [](const T* p) { return load<V>(p); }, [](T* p, V v) { store(p, v); });
  const int64_t rest = c.n - i;
  if (rest > 0)
    filter_grad_lanes<T, V>(
        c, i, [rest](const T* p) { return load_part(p, rest); }, [rest](T* p, V v) { store_part(p, v, rest); });
}

}  // namespace

void lowpass32(const LowpassCall<float>& call) { lowpass(call); }
void lowpass64(const LowpassCall<double>& call) { lowpass(call); }
void filter32(const FilterCall<float>& call) { filter(call); }
void filter64(const FilterCall<double>& call) { filter(call); }
void lowpass_grad32(const LowpassGradCall<float>& call) { lowpass_grad(call); }
void lowpass_grad64(const LowpassGradCall<double>& call) { lowpass_grad(call); }
void filter_grad32(const FilterGradCall<float>& call) { filter_grad(call); }
void filter_grad64(const FilterGradCall<double>& call) { filter_grad(call); }

}  // namespace NDL_ISA
}  // namespace nengo_dl
