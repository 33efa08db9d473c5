// Runs an element-by-element kernel over steps, items and the elements of a loop nest, in as few calls as possible.
#pragma once

#include "engine/op_util.h"

namespace nengo_dl {

template <int N>
struct RunDim {
  int64_t n;
  int64_t stride[N];
};

// Joins dimension `outer` into `inner` if walking on over the end of inner is one step of outer, in every operand.
template <int N>
bool join(RunDim<N>& outer, RunDim<N>& inner) {
  if (outer.n == 1) return true;
  if (inner.n == 1) {
    inner = outer;
    outer.n = 1;
    return true;
  }
  for (int o = 0; o < N; ++o)
    if (outer.stride[o] != inner.n * inner.stride[o]) return false;
  inner.n *= outer.n;
  outer.n = 1;
  return true;
}

// An operand's elements at one step of the first item, and how far its rows and items are apart.
template <class T>
struct Rows {
  T* base;
  int64_t row, item;

  Rows(const Frame<T>& f, const View& o, int64_t t)
      : base(o.at(f, t, 0)), row(f.row[o.buffer]), item(f.item[o.buffer]) {}
};

// kernel(T* const* pointers, const int64_t* strides, int64_t n) for runs that together are every element of `steps`
// steps of `batch` items. A run goes along whatever is longest: a signal of 2 elements in 16 items is taken as 2 runs
// along the items. One of `enough` elements is long enough, however many items or steps there are.
template <class T, int N, class F>
void each_run(const Rows<T> (&rows)[N], int64_t steps, int64_t batch, const Nest& nest, F&& kernel,
              int64_t enough = INT64_MAX) {
  RunDim<N> time{steps, {}}, item{batch, {}}, inner{nest.inner(), {}};
  for (int o = 0; o < N; ++o) {
    time.stride[o] = rows[o].row, item.stride[o] = rows[o].item;
    inner.stride[o] = nest.strides[o].back();
  }
  if (nest.shape.size() == 1 && nest.blocks == 1) {
    if (join(item, inner)) join(time, inner);
    if (item.n > inner.n && inner.n < enough) std::swap(item, inner);
    if (time.n > inner.n && inner.n < enough) std::swap(time, inner);
  }
  for (int64_t t = 0; t < time.n; ++t)
    for (int64_t b = 0; b < item.n; ++b)
      nest.each([&](const int64_t* at) {
        T* p[N];
        for (int o = 0; o < N; ++o) p[o] = rows[o].base + t * time.stride[o] + b * item.stride[o] + at[o];
        kernel(p, inner.stride, inner.n);
      });
}

// () and (1) are one shape.
inline bool same_shape(const Operand& a, const Operand& b) {
  return a.shape == b.shape || (a.shape.size() < 2 && b.shape.size() < 2 && a.count() == b.count());
}

}  // namespace nengo_dl
