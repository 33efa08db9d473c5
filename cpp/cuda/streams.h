// Numbers that lie side by side in rows, a row for each step and item: copied, added, summed over the rows. What most
// copies and ports come to, without the arithmetic that places in general take.
#pragma once

#include <algorithm>

#include "cuda/place.h"

namespace nengo_dl {
namespace cuda {

// Element c of step t of item b lies at at[t * row + b * item + c].
template <class T>
struct Rows {
  T* at;
  int64_t row, item;

  // Whether all steps and items have a row of their own.
  bool differ(int64_t steps, int64_t batch) const { return (row != 0 || steps == 1) && (item != 0 || batch == 1); }
  bool follow(int64_t batch, int64_t width) const { return item == width && row == batch * width; }
};

// Whether the elements of all blocks lie one behind the other.
inline bool is_straight(const Place& p) { return p.linear && !p.start && !p.listed && (p.step == 1 || p.count == 1); }

// Of such a place, from step t0 on.
template <class T>
Rows<T> rows_of(const Frame<T>& f, const Place& p, int64_t t0) {
  return {p.view.at(f, t0, 0) + p.view.first, f.row[p.view.buffer], f.item[p.view.buffer]};
}

// Elements that are read and written at once.
template <class T, int K>
struct alignas(sizeof(T) * K) Pack {
  T at[K];
};

template <class T, int K>
struct CopyRows {
  Rows<const T> from;
  Rows<T> to;
  uint32_t batch, packs;  // of a row
  bool set;               // else it is added
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team&) const {
    using P = Pack<T, K>;
    const uint32_t n = static_cast<uint32_t>(i), r = n / packs, c = n - r * packs, t = r / batch, b = r - t * batch;
    P got = reinterpret_cast<const P*>(from.at + t * from.row + b * from.item)[c];
    P* const p = reinterpret_cast<P*>(to.at + t * to.row + b * to.item) + c;
    if (!set) {
      const P before = *p;
      for (int k = 0; k < K; ++k) got.at[k] = before.at[k] + got.at[k];
    }
    *p = got;
  }
};

template <class T, int K>
void copy_packs(int64_t steps, int64_t batch, int64_t packs, Rows<const T> from, Rows<T> to, bool set) {
  const int64_t most = std::max<int64_t>(1, INT32_MAX / std::max<int64_t>(1, batch * packs));  // counted in 32 bits
  for (int64_t t = 0; t < steps; t += most) {
    const CopyRows<T, K> body{{from.at + t * from.row, from.row, from.item},
                              {to.at + t * to.row, to.row, to.item},
                              static_cast<uint32_t>(batch),
                              static_cast<uint32_t>(packs),
                              set};
    launch<false>(body, std::min(most, steps - t) * batch * packs);
  }
}

// `to`: rows that differ.
template <class T>
void copy_rows(int64_t steps, int64_t batch, int64_t width, Rows<const T> from, Rows<T> to, bool set) {
  constexpr int K = 16 / sizeof(T);
  if (from.follow(batch, width) && to.follow(batch, width)) {  // as one row for each step
    width *= batch;
    batch = 1, from.item = to.item = width;
  }
  const auto packed = [](const auto& r) {
    return r.row % K == 0 && r.item % K == 0 && reinterpret_cast<uintptr_t>(r.at) % 16 == 0;
  };
  if (width % K == 0 && packed(from) && packed(to))
    copy_packs<T, K>(steps, batch, width / K, from, to, set);
  else
    copy_packs<T, 1>(steps, batch, width, from, to, set);
}

// Sums of columns, in two stages, so that there is work for all processors: of `each` rows, then of these sums.
template <class T>
struct SumRows {
  const T* from;
  T* parts;
  int64_t distance, width, rows, each;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team&) const {
    Digits digits{i};
    const int64_t c = digits.take(width), first = digits.rest * each;
    const int64_t count = first + each < rows ? each : rows - first;
    const T* const p = from + first * distance + c;
    T sum = 0;
    NDL_UNROLL_SUM
    for (int64_t r = 0; r < count; ++r) sum += p[r * distance];
    parts[i] = sum;
  }
};

template <class T>
struct SumParts {
  const T* parts;
  T* to;
  int64_t width, count;
  template <class Team>
  NDL_HD void operator()(int64_t c, const Team& team) const {
    T sum = 0;
    for (int64_t k = team.lane; k < count; k += team.size) sum += parts[k * width + c];
    sum = team.sum(sum);
    if (team.lane == 0) to[c] += sum;
  }
};

template <class T>
class ColumnSums {
 public:
  // Adds the sums of rows at a distance from each other to `to`.
  void add(const T* from, int64_t distance, int64_t rows, int64_t width, T* to) const {
    if (rows == 0 || width == 0) return;
    constexpr int64_t kThreads = 1 << 16, kMost = 128, kLeast = 8;  // sums of a column; rows of a sum
    const int64_t wanted = std::clamp<int64_t>(kThreads / width, 1, kMost);
    const int64_t each = std::max(kLeast, (rows + wanted - 1) / wanted), count = (rows + each - 1) / each;
    T* const parts = parts_.at_least(count * width);
    launch<false>(SumRows<T>{from, parts, distance, width, rows, each}, count * width);
    launch<true>(SumParts<T>{parts, to, width, count}, width);
  }

 private:
  mutable Growing<T> parts_;  // kept: windows are of one length, but for the last
};

}  // namespace cuda
}  // namespace nengo_dl
