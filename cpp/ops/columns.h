// Sparse matrices by columns: where the input of a product is mostly 0, as spikes are, the entries of the others alone.
#pragma once

#include <algorithm>
#include <new>
#include <vector>

#include "engine/kernel.h"
#include "kernels/sparse.h"
#include "ops/util.h"

namespace nengo_dl {

// The entries of a matrix in compressed rows (of numbers, or of blocks), column by column. The sum of a row is made of
// `chains` chains, of which entry k of the row belongs to number k % chains, what is left behind the last of such
// rounds to number 0; each takes its entries in the order in which the row has them. So what this adds up has the bits
// of a walk along the rows: terms that are left out are 0, and chains begin with +0, to which they make no difference.
// (An infinite weight would: see all_finite.)
class Columns {
 public:
  Columns() = default;  // of weights of which none may be left out
  // What of `columns` inputs may be left out. Rows whose columns don't ascend can't be had in their order; looking at
  // far more inputs than there are entries takes longer than a walk along the rows.
  Columns(const std::vector<int64_t>& indptr, const std::vector<int64_t>& indices, int64_t columns, int chains)
      : rows_(static_cast<int64_t>(indptr.size()) - 1) {
    const auto entries = static_cast<int64_t>(indices.size());
    if (std::max({rows_ * chains, columns, entries}) > INT32_MAX || columns > kMostColumns * entries) return;
    for (int64_t i = 0; i < rows_; ++i)
      if (!std::is_sorted(indices.begin() + indptr[i], indices.begin() + indptr[i + 1])) return;
    start_.resize(columns + 1);
    for (const int64_t column : indices) ++start_[column + 1];
    for (int64_t j = 0; j < columns; ++j) start_[j + 1] += start_[j];
    std::vector<int64_t> next(start_.begin(), start_.end() - 1);
    chain_.resize(indices.size()), entry_.resize(indices.size());
    for (int64_t i = 0; i < rows_; ++i) {
      const int64_t rounds = (indptr[i + 1] - indptr[i]) / chains * chains;
      for (int64_t k = indptr[i]; k < indptr[i + 1]; ++k) {
        const int64_t at = k - indptr[i], chain = at < rounds ? at % chains : 0;
        const int64_t place = next[indices[k]]++;
        chain_[place] = static_cast<int32_t>(chain * rows_ + i), entry_[place] = static_cast<int32_t>(k);
      }
    }
    if (rows_ * chains <= UINT16_MAX) narrow_.assign(chain_.begin(), chain_.end());
  }

  // The columns that are not 0 in x, whose elements are `stride` apart, `width` of them to a column.
  struct Fired {
    const int32_t* at = nullptr;  // ascending; kept until this thread asks again
    int64_t count = -1;           // -1: a walk along the rows is faster
  };
  // `together`: items for which a walk along the rows would be one. Measured: an entry that is visited takes as long as
  // six of a walk for one item, as fourteen of the share of one among sixteen.
  template <class T>
  Fired few(const T* x, int64_t stride, int64_t width, int64_t together) const {
    if (entry_.empty()) return {};
    const int64_t enough = static_cast<int64_t>(entry_.size()) / (6 + together / 2) - rows_ / 2;
    const int64_t columns = static_cast<int64_t>(start_.size()) - 1;
    int32_t* const at = scratch_or_null<int32_t>(columns + kSparseRoom);
    if (!at) return {};
    int64_t visited = 0, count = 0;
    if (width == 1 && stride == 1) {
      count = pick_typed<T>(fired32_, fired64_)(x, columns, at);
    } else {
      for (int64_t j = 0; j < columns; ++j)
        if (any(x + j * width * stride, stride, width)) at[count++] = static_cast<int32_t>(j);
    }
    for (int64_t f = 0; f < count && visited < enough; ++f) visited += start_[at[f] + 1] - start_[at[f]];
    return visited < enough ? Fired{at, count} : Fired{};
  }

  // visit(chain, entry, column) for the entries of columns that fired; `chain` is the number of the chain, those of all
  // rows one behind the other.
  template <class Visit>
  void each(const Fired& fired, Visit&& visit) const {
    for (int64_t f = 0; f < fired.count; ++f) {
      const int64_t j = fired.at[f];
      for (int64_t e = start_[j]; e < start_[j + 1]; ++e) visit(chain_[e], entry_[e], j);
    }
  }

  // What a kernel needs to know of the entries.
  template <class T>
  SparseColumns<T> columns(const Fired& fired, const T* by_place) const {
    SparseColumns<T> sums{};
    sums.fired = fired.at, sums.count = fired.count, sums.start = start_.data(), sums.chain = chain_.data();
    sums.narrow = narrow_.empty() ? nullptr : narrow_.data();
    sums.weights = by_place, sums.rows = rows_;
    return sums;
  }

  // The entries of A, `step` elements apart, by their place: one behind the other, which matters where no near cache
  // holds all of them. Null if this run has not asked often enough for a copy to pay.
  template <class T>
  const T* by_place(Reordered<T>& of_param, const T* A, int64_t step) const {
    constexpr int64_t kWorth = 16;
    typename Reordered<T>::Copy* const kept = of_param.of(this);
    if (!kept || ++kept->asked < kWorth) return nullptr;
    if (kept->values.empty()) {
      try {
        kept->values.resize(entry_.size());
      } catch (const std::bad_alloc&) {
        kept->asked = 0;
        return nullptr;
      }
      for (size_t e = 0; e < entry_.size(); ++e) kept->values[e] = A[entry_[e] * step];
    }
    return kept->values.data();
  }

 private:
  static constexpr int64_t kMostColumns = 16;  // for each entry

  template <class T>
  static bool any(const T* x, int64_t stride, int64_t width) {
    for (int64_t i = 0; i < width; ++i)
      if (!(x[i * stride] == T(0))) return true;
    return false;
  }

  int64_t rows_ = 0;
  std::vector<int64_t> start_;          // per column, and the end
  std::vector<int32_t> chain_, entry_;  // empty if nothing may be left out
  std::vector<uint16_t> narrow_;        // chain_, if its numbers are small
  int64_t (*fired32_)(const float*, int64_t, int32_t*) = NDL_PICK(sparse_fired32);
  int64_t (*fired64_)(const double*, int64_t, int32_t*) = NDL_PICK(sparse_fired64);
};

}  // namespace nengo_dl
