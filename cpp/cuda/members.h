// Elements of an op that are one and the same, taken together by one thread.
#pragma once

#include "cuda/place.h"

namespace nengo_dl {
namespace cuda {

// f(block, element of the block) of all that are element `e` of those that differ.
template <class F>
NDL_HD void each_member(const Place& place, int64_t e, F f) {
  const int64_t from = place.start ? place.start[e] : e, to = place.start ? place.start[e + 1] : e + 1;
  for (int64_t m = from; m < to; ++m) {
    Digits which{place.start ? place.member[m] : e};
    const int64_t c = which.take(place.size);
    f(which.rest, c);
  }
}

NDL_HD int64_t offset_of(const Place& place, int64_t e) {
  Digits which{place.start ? place.member[place.start[e]] : e};
  const int64_t c = which.take(place.size);
  return place.offset(which.rest, c);
}

}  // namespace cuda
}  // namespace nengo_dl
