// What the kernels of `triangle` share.
#pragma once

#include <cmath>

#include "engine/api.h"

namespace nengo_dl {

// The row after the one that Xi names, by Python's modulo; a state that names no row counts as the last one.
template <class T>
NDL_BOTH int64_t next_row(T Xi, int64_t taps) {
  T next = std::fmod(Xi + T(1), static_cast<T>(taps));
  if (next < T(0)) next += static_cast<T>(taps);
  if (!(next >= T(0) && next < static_cast<T>(taps))) return 0;
  const int64_t row = static_cast<int64_t>(next);
  return row < taps ? row : taps - 1;
}

}  // namespace nengo_dl
