// What the jobs of cuda/conv_tiles.h have in common: numbers of terms, and where operands are.
#pragma once

#include <vector>

#include "cuda/conv.h"
#include "cuda/conv_tiles.h"

namespace nengo_dl {
namespace cuda {

constexpr int64_t kMostTerms = int64_t{1} << 20;  // in a table

// Numbers of a term, a field each in a word (ConvRow).
struct ConvFields {
  int rank = 0;
  int shift[kMaxSpatial] = {}, width = 0;  // where a field is; of the first one
  uint32_t above = 0;
  bool fit = false;

  ConvFields() = default;
  // For numbers below `count` of each dimension.
  ConvFields(int rank_of, const int64_t* count) : rank(rank_of) {
    int used = 0;
    for (int d = rank; d-- > 0 && used < 32;) {
      int bits = 1;
      while (bits < 31 && count[d] >= int64_t{1} << bits) ++bits;  // `never` is more than all of them
      shift[d] = used, width = bits, used += bits + 1;
      if (used <= 32) above |= uint32_t{1} << (used - 1);
      fit = d == 0 && used <= 32;
    }
  }
  NDL_HD uint32_t field(int d, int64_t number) const { return static_cast<uint32_t>(number) << shift[d]; }
  NDL_HD uint32_t never() const { return field(0, (int64_t{1} << width) - 1); }  // of terms that no row has
  NDL_HD void no_terms(ConvRow* row) const { row->first = never(), row->last = 0; }
};

inline void pad_terms(std::vector<ConvTerm>* terms, const ConvFields& fields) {
  while (terms->size() % kConvSlice) terms->push_back({0, 0, fields.never()});
}

// Where an operand is at the first step of the first item, and how far from there to others.
template <class T>
struct ConvArray {
  T* base;
  int64_t row, item;
  View view;

  ConvArray(const Place& place, const Frame<T>& f, int64_t t0)
      : base(place.view.at(f, t0, 0)),
        row(f.row[place.view.buffer]),
        item(f.item[place.view.buffer]),
        view(place.view) {}
  NDL_HD int64_t at(int64_t t, int64_t b, int64_t k) const { return t * row + b * item + view.block(k); }
};

NDL_HD int64_t conv_pieces(int64_t n, int64_t size) { return (n + size - 1) / size; }

// Columns of a tile: channels of a group from `first` on.
struct ConvColumns {
  int64_t first, count;
  NDL_HD ConvColumns(int64_t piece, int64_t size, int64_t all)
      : first(piece * size), count(all - first < size ? all - first : size) {}
};

}  // namespace cuda
}  // namespace nengo_dl
