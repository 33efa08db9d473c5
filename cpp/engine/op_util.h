// Helpers for op implementations: carried rows, strided blocks, loop nests over several operands.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "engine/op.h"

namespace nengo_dl {

// C order without gaps (dimensions of one element don't matter).
bool is_contiguous(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides);
inline bool is_contiguous(const Operand& o) { return is_contiguous(o.shape, o.strides); }
inline bool is_contiguous(const Access1& o) { return is_contiguous(o.shape, o.strides); }

// A float attribute marked * in docs/PROGRAM.md: 1 or `blocks` values; returns `blocks` values, or fails naming the op.
std::vector<double> per_block(const OpRecord& op, const std::string& key);
// True if all values are the same one, so that a kernel can take it as a scalar.
bool all_equal(const std::vector<double>& values);

// Fails unless `o` has the shape `due` (a scalar () counts as (1)); `name` is the argument's.
void need_shape(const OpRecord& op, const std::string& name, const std::vector<int64_t>& due);
std::string shape_text(const std::vector<int64_t>& shape);

// Calls f(element offset) in C order for the elements of one block.
template <class F>
void for_each_element(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides, F&& f) {
  int64_t d[4] = {1, 1, 1, 1}, s[4] = {0, 0, 0, 0};
  const size_t rank = shape.size(), pad = 4 - rank;
  for (size_t i = 0; i < rank; ++i) d[pad + i] = shape[i], s[pad + i] = strides[i];
  for (int64_t i = 0; i < d[0]; ++i)
    for (int64_t j = 0; j < d[1]; ++j)
      for (int64_t k = 0; k < d[2]; ++k)
        for (int64_t l = 0; l < d[3]; ++l) f(i * s[0] + j * s[1] + k * s[2] + l * s[3]);
}

// Copies a strided block to contiguous memory and back.
template <class T>
void gather(const T* src, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides, T* dst) {
  for_each_element(shape, strides, [&](int64_t e) { *dst++ = src[e]; });
}
template <class T>
void scatter(const T* src, T* dst, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  for_each_element(shape, strides, [&](int64_t e) { dst[e] = *src++; });
}

// For an `update` operand: in a carried buffer copies row t (old) to row t+1 for the elements of the operand, so that
// the op can then work in place on `o.at(frame, t, b)`; in a state or learned buffer does nothing.
// One that computes new from old element by element can skip this and read `o.at(frame, t, b)[e - old_row(frame, o)]`.
template <class T>
int64_t old_row(const Frame<T>& frame, const Access1& o) {
  return frame.row[o.buffer];  // 0 in state and learned buffers: old and new are one
}
template <class T>
void advance(const Frame<T>& frame, const Access1& o, int64_t t, int64_t b) {
  const int64_t row = old_row(frame, o);
  if (row == 0) return;
  T* now = o.at(frame, t, b);
  const bool flat = is_contiguous(o);
  int64_t count = 1;
  for (int64_t d : o.shape) count *= d;
  for (int64_t offset : o.offsets) {
    T* p = now + offset;
    if (flat)
      std::memcpy(p, p - row, count * sizeof(T));
    else
      for_each_element(o.shape, o.strides, [&](int64_t e) { p[e] = p[e - row]; });
  }
}
template <class T>
void advance(const Frame<T>& frame, const Access1& o, int64_t t) {
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
