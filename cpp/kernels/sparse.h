// Sparse products of inputs that are mostly 0, as spikes are (ops/columns.h).
#pragma once

#include <cstdint>

#include "engine/isa.h"

namespace nengo_dl {

constexpr int kSparseChains = 4;  // of a row's sum, whose additions need not wait for each other

// Columns that are added up: entries lie column by column.
template <class T>
struct SparseColumns {
  const int32_t* fired;  // columns
  int64_t count;
  const int64_t* start;    // of each column, and the end
  const int32_t* chain;    // of each entry: row + rows * number
  const uint16_t* narrow;  // the same in half the memory, or null
  const T* weights;        // of each entry
  const T* x;              // of each column, `x_step` apart
  int64_t x_step;
  T* chains;  // room for kSparseChains * rows
  int64_t rows;
  T* y;  // one behind the other
  bool set;
};

// The numbers of the elements that are not 0, ascending; NaN is not 0. Returns how many; `at` has room for
// kSparseRoom more than n.
constexpr int64_t kSparseRoom = 16;
NDL_DECLARE_KERNEL(int64_t, sparse_fired32, (const float* x, int64_t n, int32_t* at))
NDL_DECLARE_KERNEL(int64_t, sparse_fired64, (const double* x, int64_t n, int32_t* at))
NDL_DECLARE_KERNEL(void, sparse_columns32, (const SparseColumns<float>& sums))
NDL_DECLARE_KERNEL(void, sparse_columns64, (const SparseColumns<double>& sums))

}  // namespace nengo_dl
