// What the dense kernels want to know of a `dense` op.
#pragma once

#include "engine/op_util.h"
#include "kernels/dense_kernels.h"
#include "ops/util.h"

namespace nengo_dl {

// The kernel for these sizes and strides.
template <class T>
DenseFunction<T> dense_function(const DenseArgs<T>& d, bool has_bias) {
  const bool lanes_along_m = d.a_i == 1 && d.y_i == 1 && (!has_bias || d.b_i == 1) && d.m >= 2;
  return d.n == 1                   ? NDL_PICK_TYPED(T, dense_outer)
         : d.a_j == 1 && d.x_j == 1 ? NDL_PICK_TYPED(T, dense_rows)
         : lanes_along_m            ? NDL_PICK_TYPED(T, dense_cols)
                                    : NDL_PICK_TYPED(T, dense_any);
}

// dense_packed with the room that it needs.
template <class T>
void run_packed(DenseArgs<T> d) {
  d.room = scratch<T>(kPackedBytes / sizeof(T));
  NDL_PICK_TYPED(T, dense_packed)(d);
}
template <class T>
bool can_pack() {
  return scratch_or_null<T>(kPackedBytes / sizeof(T));
}

// Sizes, strides and offsets: all but pointers and rows. The record outlives them.
template <class T>
DenseArgs<T> dense_args(const OpRecord& op) {
  // A dimension of one element has no stride: the kernel that wants neighbours may take it, too.
  const auto stride = [](const Operand& o, size_t dim) { return o.shape[dim] == 1 ? 1 : o.strides[dim]; };
  const Operand &a = op.arg("A"), &x = op.arg("X"), &y = op.arg("Y");
  const Operand& bias = op.find_arg("bias") ? op.arg("bias") : y;
  DenseArgs<T> d{};
  d.blocks = op.blocks, d.m = a.shape[0], d.n = a.shape[1];
  d.a_i = stride(a, 0), d.a_j = stride(a, 1), d.x_j = stride(x, 0), d.y_i = stride(y, 0);
  d.b_i = op.find_arg("bias") ? stride(bias, 0) : 1;
  d.a_at = a.offsets.data(), d.x_at = x.offsets.data(), d.y_at = y.offsets.data(), d.bias_at = bias.offsets.data();
  d.set = op.set();
  return d;
}

}  // namespace nengo_dl
