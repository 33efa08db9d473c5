// Items of a sparse product, handed to a kernel so many at a time.
#pragma once

#include <vector>

#include "engine/scratch.h"
#include "kernels/sparse_rows.h"

namespace nengo_dl {

template <class T>
class SparseItems {
 public:
  using Function = void (*)(const SparseRows<T>&);

  // `together`: items at a time, at most kSparseItems; 1 unless all have the same A.
  SparseItems(Function function, int64_t together, const std::vector<int64_t>& start,
              const std::vector<int32_t>& column, int64_t columns, bool set)
      : function_(function), together_(together) {
    s_.column = column.data(), s_.start = start.data(), s_.rows = static_cast<int64_t>(start.size()) - 1;
    s_.columns = columns, s_.set = set;
  }

  void add(T* a, T* x, T* y) {
    s_.a = a, x_[count_] = x, y_[count_] = y;
    if (++count_ == together_) finish();
  }

  // Whatever is left. Without memory for lines one item after the other.
  void finish() {
    if (count_ == 0) return;
    s_.lines = count_ > 1 ? scratch_or_null<T>(sparse_room(s_.rows, s_.columns)) : nullptr;
    s_.items = s_.lines ? count_ : 1;
    for (int64_t i = 0; i < count_; i += s_.items) {
      s_.x = x_ + i, s_.y = y_ + i;
      function_(s_);
    }
    count_ = 0;
  }

 private:
  Function function_;
  int64_t together_, count_ = 0;
  SparseRows<T> s_{};
  T *x_[kSparseItems], *y_[kSparseItems];
};

}  // namespace nengo_dl
