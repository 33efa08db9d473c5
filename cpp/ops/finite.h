// Whether weights are finite, so that those of silent neurons may be left out: 0 times infinity is to be seen.
#pragma once

#include "engine/kernel.h"
#include "kernels/dense_kernels.h"

namespace nengo_dl {

// Of all elements of a param buffer, which no run changes: they are looked at once per run. That costs as much as a row
// of a product, so the first to ask who has less than kWorth rows is refused; the next one gets an answer.
template <class T>
bool all_finite(const Frame<T>& f, int64_t buffer, int64_t size, int64_t rows) {
  constexpr signed char kAsked = -1;
  constexpr int64_t kWorth = 4;
  std::atomic<signed char>& known = f.finite[buffer];
  signed char state = known.load(std::memory_order_relaxed);
  if (state == kNobodyAsked && rows < kWorth) {
    known.store(kAsked, std::memory_order_relaxed);
    return false;
  }
  if (state < 0) {
    state = NDL_PICK_TYPED(T, vec_finite)(f.base[buffer], size);
    known.store(state, std::memory_order_relaxed);
  }
  return state;
}

}  // namespace nengo_dl
