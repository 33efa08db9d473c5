// Where phases write: elements of an operand, each by one team, whoever else of the op's elements lies there too.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "cuda/phase.h"
#include "engine/op_util.h"
#include "ops/adjoint.h"

namespace nengo_dl {
namespace cuda {

// Element `c` (in C order) of block `k`, as an offset.
NDL_HD int64_t element(const View& o, int64_t k, int64_t c) {
  Digits digits{c};
  int64_t at = o.block(k);
  for (int64_t d = o.rank - 1; d > 0; --d) at += digits.take(o.shape[d]) * o.strides[d];
  return o.rank > 0 ? at + digits.rest * o.strides[0] : at;
}

// The elements of an operand that a phase writes. Usually they differ; where several of them (of several blocks, or
// because of a stride of 0) are one and the same, a list says which.
struct Place {
  View view;
  int64_t size = 0;     // elements of a block
  int64_t count = 0;    // that differ
  bool linear = false;  // element c of block k lies at view.first + (k * size + c) * step
  int64_t step = 0;
  const int64_t* listed = nullptr;  // per index of a block: its element, if a list says so
  const int64_t* start = nullptr;   // of those that are one, per element that differs: the first in `member`
  const int64_t* member = nullptr;  // k * size + c

  Place() = default;
  // `offsets`: element by index of a block, if they are listed.
  Place(const Operand& o, Tables& tables, const std::vector<int64_t>* offsets = nullptr) : view(tables.view(o)) {
    size = offsets ? static_cast<int64_t>(offsets->size()) : o.count();
    count = size * view.blocks;
    if (offsets) listed = tables.add(*offsets);
    if (!offsets) find_step(o);
    if (!offsets && differ(o)) return;
    std::vector<int64_t> at;
    for (size_t k = 0; k < o.offsets.size(); ++k) {
      const auto add = [&](int64_t e) { at.push_back(o.offsets[k] + e); };
      if (offsets)
        for (int64_t e : *offsets) add(e);
      else
        for_each_element(View(o), add);
    }
    join(at, tables);
  }

  NDL_HD int64_t offset(int64_t k, int64_t c) const {
    if (linear) return view.first + (k * size + c) * step;
    return listed ? view.block(k) + listed[c] : element(view, k, c);
  }

  // Writes in these steps: `work` indices, steps in parallel only if each has a row of its own.
  template <class T>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return (f.row[view.buffer] ? steps : 1) * (f.item[view.buffer] ? f.batch : 1) * count;
  }

  // For index i: value(t, b, k, c) of each of its steps, set or added one after the other.
  template <class T, class Team, class F>
  NDL_HD void put(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team, bool set, F value) const {
    Digits digits{i};
    const int64_t e = digits.take(count), b = digits.take(f.batch);
    if (f.row[view.buffer]) t0 += digits.rest, t1 = t0 + 1;
    for (int64_t t = t0; t < t1; ++t) {
      const int64_t from = start ? start[e] : e, to = start ? start[e + 1] : e + 1;
      T* p = nullptr;
      for (int64_t m = from; m < to; ++m) {
        Digits which{start ? member[m] : e};
        const int64_t c = which.take(size), k = which.rest;
        const T got = value(t, b, k, c);
        p = view.at(f, t, b) + offset(k, c);
        if (team.lane == 0) *p = set ? got : *p + got;
      }
    }
  }

  // For index i of adjoints: adds the sum of value(t, b, k, c) over all steps and items that share the place.
  template <class T, class Team, class F>
  NDL_HD void add(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team, F value) const {
    Digits digits{i};
    const int64_t e = digits.take(count);
    int64_t b0 = 0, b1 = f.batch;
    if (f.item[view.buffer]) b0 = digits.take(f.batch), b1 = b0 + 1;
    if (f.row[view.buffer]) t0 += digits.rest, t1 = t0 + 1;
    const int64_t from = start ? start[e] : e, to = start ? start[e + 1] : e + 1, members = to - from;
    const int64_t rows = (t1 - t0) * (b1 - b0) * members;
    T sum = 0;
    for (int64_t r = team.lane; r < rows; r += team.size) {
      Digits row{r};
      const int64_t m = from + row.take(members), b = b0 + row.take(b1 - b0), t = t0 + row.rest;
      Digits which{start ? member[m] : e};
      const int64_t c = which.take(size);
      sum += value(t, b, which.rest, c);
    }
    sum = team.sum(sum);
    if (team.lane != 0) return;
    Digits which{start ? member[from] : e};
    const int64_t c = which.take(size);
    view.at(f, t0, b0)[offset(which.rest, c)] += sum;
  }

 private:
  void find_step(const Operand& o) {
    std::vector<std::pair<int64_t, int64_t>> dims;  // distance and number, outermost first, without those of one
    if (view.blocks > 1) dims.emplace_back(view.distance, view.blocks);
    for (size_t d = 0; d < o.shape.size(); ++d)
      if (o.shape[d] > 1) dims.emplace_back(o.strides[d], o.shape[d]);
    linear = view.regular;
    for (size_t d = 1; d < dims.size(); ++d) linear = linear && dims[d - 1].first == dims[d].first * dims[d].second;
    step = dims.empty() ? 0 : dims.back().first;
  }
  bool differ(const Operand& o) const {
    std::vector<std::pair<int64_t, int64_t>> dims = dims_of(o);
    if (view.blocks > 1) dims.emplace_back(std::abs(view.distance), view.blocks);
    return view.regular && elements_differ(dims);
  }
  void join(const std::vector<int64_t>& at, Tables& tables) {
    std::vector<int64_t> order(at.size()), starts;
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return at[a] < at[b]; });
    for (size_t i = 0; i < order.size(); ++i)
      if (i == 0 || at[order[i]] != at[order[i - 1]]) starts.push_back(static_cast<int64_t>(i));
    if (starts.size() == at.size()) return;
    count = static_cast<int64_t>(starts.size());
    starts.push_back(static_cast<int64_t>(at.size()));
    start = tables.add(starts), member = tables.add(order);
  }
};

}  // namespace cuda
}  // namespace nengo_dl
