// Helpers for op implementations: carried rows, strided blocks, loop nests over several operands.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/kernel.h"

namespace nengo_dl {

// C order without gaps (dimensions of one element don't matter).
NDL_API bool is_contiguous(const View& o);
inline bool is_contiguous(const Operand& o) { return is_contiguous(View(o)); }

// No two elements of a block are one. Sufficient, and exact for slices of arrays: sorted by stride, each dimension
// (|stride|, size) steps over all that lies inside of it.
NDL_API bool elements_differ(std::vector<std::pair<int64_t, int64_t>> dims);
NDL_API std::vector<std::pair<int64_t, int64_t>> dims_of(const Operand& o);

// True if all values are the same one, so that a kernel can take it as a scalar.
bool all_equal(const std::vector<double>& values);

// Fails unless the argument has this shape (a scalar () counts as (1)).
void need_shape(const OpRecord& op, const std::string& name, const std::vector<int64_t>& expected);
std::string shape_text(const std::vector<int64_t>& shape);

// Calls f(element offset) in C order for the elements of one block.
template <class F>
void for_each_element(const View& o, F&& f) {
  int64_t d[kMaxRank] = {1, 1, 1, 1}, s[kMaxRank] = {0, 0, 0, 0};
  for (int64_t i = 0, pad = kMaxRank - o.rank; i < o.rank; ++i) d[pad + i] = o.shape[i], s[pad + i] = o.strides[i];
  for (int64_t i = 0; i < d[0]; ++i)
    for (int64_t j = 0; j < d[1]; ++j)
      for (int64_t k = 0; k < d[2]; ++k)
        for (int64_t l = 0; l < d[3]; ++l) f(i * s[0] + j * s[1] + k * s[2] + l * s[3]);
}

// Copies a strided block to contiguous memory and back.
template <class T>
void gather(const T* from, const View& o, T* to) {
  for_each_element(o, [&](int64_t e) { *to++ = from[e]; });
}
template <class T>
void scatter(const T* from, T* to, const View& o) {
  for_each_element(o, [&](int64_t e) { to[e] = *from++; });
}

// From the new value of an `update` operand back to its old one: in a carried buffer of 3 elements and 2 items, 6.
// There step 3 reads row 3 and writes row 4, at `o.at(frame, 3, b)`, as the operand has shift 1. In a state or learned
// buffer old and new are one: 0.
template <class T>
NDL_BOTH int64_t old_row(const Frame<T>& frame, const View& o) {
  return frame.row[o.buffer];
}
// Copies the old value (row 3) to the place of the new one (row 4), so that an op can then work in place there; where
// they are one, does nothing. An op that makes each new element of the old one alone reads it at `- old_row(frame, o)`.
template <class T>
void advance(const Frame<T>& frame, const View& o, int64_t t, int64_t b) {
  const int64_t row = old_row(frame, o);
  if (row == 0) return;
  T* now = o.at(frame, t, b);
  const bool flat = is_contiguous(o);
  const int64_t count = o.count();
  for (int64_t k = 0; k < o.blocks; ++k) {
    T* p = now + o.offsets[k];
    if (flat)
      std::memcpy(p, p - row, count * sizeof(T));
    else
      for_each_element(o, [&](int64_t e) { p[e] = p[e - row]; });
  }
}
template <class T>
void advance(const Frame<T>& frame, const View& o, int64_t t) {
  for (int64_t b = 0; b < frame.batch; ++b) advance(frame, o, t, b);
}

// One loop nest over operands of one shape. Blocks at regular distances become a dimension, dimensions that lie one
// behind the other in every operand become one; so 128 blocks side by side are a single contiguous run.
struct Nest {
  int64_t blocks = 1;                         // what could not be made a dimension
  std::vector<int64_t> shape;                 // outermost first, at least one
  std::vector<std::vector<int64_t>> strides;  // per operand
  std::vector<std::vector<int64_t>> offsets;  // per operand, one per remaining block

  int64_t inner() const { return shape.back(); }
  // Calls f(const int64_t* offset) for each innermost run, offset holding one element offset per operand.
  template <class F>
  void each(F&& f) const;
};
Nest make_nest(const std::vector<const Operand*>& operands);

template <class F>
void Nest::each(F&& f) const {
  constexpr int kMax = 4;  // operands
  const int n = static_cast<int>(strides.size()), outer = static_cast<int>(shape.size()) - 1;
  int64_t at[kMax], count[8] = {0};
  for (int64_t k = 0; k < blocks; ++k) {
    for (int o = 0; o < n; ++o) at[o] = offsets[o][k];
    for (;;) {
      f(static_cast<const int64_t*>(at));
      int d = outer - 1;
      for (; d >= 0; --d) {
        for (int o = 0; o < n; ++o) at[o] += strides[o][d];
        if (++count[d] < shape[d]) break;
        for (int o = 0; o < n; ++o) at[o] -= shape[d] * strides[o][d];
        count[d] = 0;
      }
      if (d < 0) break;
    }
  }
}

}  // namespace nengo_dl
