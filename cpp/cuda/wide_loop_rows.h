// Elements at regular distances, which a block does as one op.
#pragma once

#include <algorithm>
#include <utility>

#include "cuda/wide_loop.h"

namespace nengo_dl {
namespace cuda {

// An element of an argument: a cell of the block that has it, or (far) where it lies in the frame.
struct WideSpot {
  bool far = false;
  int64_t cell = 0, element = 0, flip = 0;
};

struct WideRow {
  WideSpot first, step;  // step: from one to the next

  // How many of `count` elements it takes, where at(i) is the i-th.
  template <class F>
  size_t find(size_t count, const F& at) {
    first = at(0), step = count > 1 ? at(1) : first;
    step.cell -= first.cell, step.element -= first.element;
    for (size_t i = 1; i < count; ++i) {
      const WideSpot c = at(i);
      const auto d = static_cast<int64_t>(i);
      if (c.far != first.far || c.flip != first.flip || c.cell != first.cell + d * step.cell ||
          c.element != first.element + d * step.element)
        return i;
    }
    return count;
  }
};

// Whether cells go on where others, `count` of them, end, at one distance, which *step is set to.
inline bool goes_on(const Near& a, int32_t count, const Near& b, int32_t b_count, int32_t* step) {
  if (a.at < 0 || b.at < 0) return a.at < 0 && b.at < 0;
  *step = count > 1 ? a.step : b.at - a.at;
  return a.flip == b.flip && a.shift == b.shift && b.at == a.at + count * *step && (b_count == 1 || b.step == *step);
}
inline bool goes_on(const Far& a, int32_t count, const Far& b, int32_t b_count, int64_t* step) {
  if (a.buffer < 0 || b.buffer < 0) return a.buffer < 0 && b.buffer < 0;
  *step = count > 1 ? a.step : b.first - a.first;
  return a.buffer == b.buffer && a.shift == b.shift && b.first == a.first + count * *step &&
         (b_count == 1 || b.step == *step);
}

// Makes one op of two that don't depend on each other, if their elements lie in one row.
template <class T>
bool join(WideOp<T>& a, const WideOp<T>& b) {
  if (a.kind != b.kind || a.kind >= Wide::outer || a.set != b.set || a.outs != b.outs || a.a != b.a || a.b != b.b ||
      a.type != b.type || a.model != b.model)
    return false;
  WideOp<T> both = a;
  for (int s = 0; s < kWideNear; ++s)
    if (!goes_on(a.near[s], a.count, b.near[s], b.count, &both.near[s].step)) return false;
  for (int s = 0; s < kWideOuts; ++s)
    if (!goes_on(a.kept[s], a.count, b.kept[s], b.count, &both.kept[s].step)) return false;
  for (int s = 0; s < a.outs; ++s)
    if (both.near[s].step == 0) return false;
  both.count += b.count;
  a = both;
  return true;
}

}  // namespace cuda
}  // namespace nengo_dl
