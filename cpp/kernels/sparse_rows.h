// Products of a sparse matrix in compressed rows and several vectors at a time, and the way back.
#pragma once

#include <cstdint>

#include "engine/isa.h"

namespace nengo_dl {

constexpr int kSparseItems = 16;  // vectors at a time

template <class T>
struct SparseRows {
  const int32_t* column;  // of each entry
  const int64_t* start;   // of each row, and the end
  int64_t rows, columns;
  T* a;                    // entries
  T *const *x, *const *y;  // of each item, their elements one behind the other; no two in one place if they are written
  int64_t items;           // at most kSparseItems
  bool set;                // y: whether it is overwritten
  T* lines;                // room for sparse_room() elements, or null: then there is one item
};

constexpr int64_t sparse_room(int64_t rows, int64_t columns) { return (rows + columns) * kSparseItems; }

// y (+)= A x. The sum of a row is made of kSparseChains chains, as in ops/columns.h: for each instruction set and
// number of items the same.
NDL_DECLARE_KERNEL(void, sparse_rows32, (const SparseRows<float>& s))
NDL_DECLARE_KERNEL(void, sparse_rows64, (const SparseRows<double>& s))
// x += A^T y, row by row.
NDL_DECLARE_KERNEL(void, sparse_back32, (const SparseRows<float>& s))
NDL_DECLARE_KERNEL(void, sparse_back64, (const SparseRows<double>& s))
// a += y x^T, where A has an entry, summed over the items in a tree of kSparseItems leaves.
NDL_DECLARE_KERNEL(void, sparse_outer32, (const SparseRows<float>& s))
NDL_DECLARE_KERNEL(void, sparse_outer64, (const SparseRows<double>& s))

}  // namespace nengo_dl
