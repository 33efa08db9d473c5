// Tiles of the results of a convolution, or of the adjoints of its image.
#pragma once

#include "cuda/conv_tiles_terms.h"

namespace nengo_dl {
namespace cuda {

// The terms of a map in slices, phase by phase: positions of a transposed convolution whose numbers have the same
// remainder by the stride in each dimension meet the same taps.
template <class T>
struct MapTerms {
  ConvFields fields;
  const ConvTerm* terms = nullptr;
  const int64_t* first = nullptr;  // slice of each phase, and of none
  int64_t phases = 1;
  double filled = 1;  // by what part slices are

  // A tap of dimension d in a phase: number i is tap first + i step.
  struct Line {
    int64_t first, step, count;
    NDL_HD Line(const ConvShape& shape, int d, int64_t phase) {
      const ConvDimension& dim = shape.dims[d];
      step = shape.transposed ? dim.stride : 1;
      first = shape.transposed ? (phase + dim.pad) % dim.stride : 0;
      count = first < dim.kernel ? (dim.kernel - 1 - first) / step + 1 : 0;
    }
  };
  NDL_HD static int64_t phases_of(const ConvShape& shape, int d) { return shape.transposed ? shape.dims[d].stride : 1; }
  // Positions of a phase.
  NDL_HD static int64_t positions(const ConvShape& shape, int d, int64_t phase) {
    const int64_t step = phases_of(shape, d), out = shape.dims[d].out;
    return phase < out ? (out - phase + step - 1) / step : 0;
  }

  MapTerms() = default;
  MapTerms(const ConvMap<T>& map, Tables& tables) {
    const ConvShape& shape = map.shape;
    int64_t kernel[kMaxSpatial];
    for (int d = 0; d < shape.rank; ++d) {
      kernel[d] = shape.dims[d].kernel;
      if (phases_of(shape, d) > kMostTerms / phases) return;
      phases *= phases_of(shape, d);
    }
    fields = ConvFields(shape.rank, kernel);
    std::vector<ConvTerm> all;
    std::vector<int64_t> starts{0};
    int64_t terms_of = 0;
    for (int64_t phase = 0; phase < phases; ++phase) {
      add(map, phase, &all);
      terms_of += static_cast<int64_t>(all.size()) - starts.back() * kConvSlice;
      pad_terms(&all, fields);
      starts.push_back(static_cast<int64_t>(all.size()) / kConvSlice);
    }
    if (!all.empty()) filled = double(terms_of) / all.size();
    terms = tables.add(all), first = tables.add(starts);
  }

 private:
  void add(const ConvMap<T>& map, int64_t phase, std::vector<ConvTerm>* all) const {
    const ConvShape& shape = map.shape;
    Digits digits{phase};
    std::vector<Line> lines;
    int64_t taps = 1;
    for (int d = shape.rank; d-- > 0;) {
      lines.insert(lines.begin(), Line(shape, d, digits.take(phases_of(shape, d))));
      taps *= lines.front().count;
    }
    for (int64_t tap = 0; tap < taps; ++tap) {
      Digits numbers{tap};
      int64_t a = 0, b = 0;
      uint32_t number = 0;
      for (int d = shape.rank; d-- > 0;) {
        const int64_t i = numbers.take(lines[d].count);
        a += (shape.transposed ? -i : i) * map.image_step[d];
        b += (lines[d].first + i * lines[d].step) * map.weight_step[d];
        number |= fields.field(d, i);
      }
      for (int64_t c = 0; c < map.channels; ++c)
        all->push_back({static_cast<int32_t>(a + c * map.image_channel),
                        static_cast<int32_t>(b + c * map.weight_channel), number});
    }
  }
};

enum class ConvPut { set, inc, add };  // add: as Place::add

// Rows: positions of a phase, of all items at all steps if they have the same weights. Columns: channels of a group.
template <class T>
struct MapJob {
  using Scalar = T;
  struct Rounds {};
  static constexpr bool sums = false;
  ConvMap<T> map;
  MapTerms<T> terms;
  ConvArray<T> w, x, y;
  int64_t steps, batch;
  ConvPut way;
  bool apart;  // each item at each step has weights of its own
  uint32_t above;
  int32_t b_column;
  int64_t out_column;
  bool b_columns_inner;

  MapJob(const ConvMap<T>& map_of, const MapTerms<T>& terms_of, const ConvArray<T>& w_of, const ConvArray<T>& x_of,
         const ConvArray<T>& y_of, int64_t steps_of, int64_t batch_of, ConvPut way_of)
      : map(map_of),
        terms(terms_of),
        w(w_of),
        x(x_of),
        y(y_of),
        steps(steps_of),
        batch(batch_of),
        way(way_of),
        apart((steps > 1 && w.row != 0) || (batch > 1 && w.item != 0)),
        above(terms.fields.above),
        b_column(static_cast<int32_t>(map.weight_own)),
        out_column(map.shape.channels_last ? 1 : map.positions),
        b_columns_inner(map.weight_own == 1) {}

  bool rows_inner() const { return !map.shape.channels_last || map.channels < 4; }
  int64_t columns() const { return map.per_group; }
  NDL_HD int64_t rows(int64_t phase) const {
    Digits digits{phase};
    int64_t n = apart ? 1 : steps * batch;
    for (int d = map.shape.rank; d-- > 0;)
      n *= MapTerms<T>::positions(map.shape, d, digits.take(MapTerms<T>::phases_of(map.shape, d)));
    return n;
  }
  // What the choice of tiles depends on: all sums, blocks of threads, parts of slices that are terms, and of blocks
  // that have any.
  int64_t copies() const { return y.view.blocks * map.shape.groups * (apart ? steps * batch : 1); }
  double all_sums() const { return double(copies()) * map.per_group * map.positions * (apart ? 1 : steps * batch); }
  template <class Tile>
  int64_t blocks() const {  // no phase has more rows than the first one
    return conv_pieces(columns(), Tile::columns) * copies() * terms.phases * conv_pieces(rows(0), Tile::rows);
  }
  double filled() const { return terms.filled; }
  double busy() const { return 1; }
  bool countable() const { return true; }  // slices of a tile, in 32 bits

  struct At {
    ConvColumns columns;
    int64_t group, k, b, t, phase, row, rows;
  };
  template <class Tile>
  NDL_HD At find(int64_t block) const {
    Digits digits{block};
    const int64_t piece = digits.take(conv_pieces(map.per_group, Tile::columns));
    At at{ConvColumns(piece, Tile::columns, map.per_group), 0, 0, 0, 0, 0, 0, 0};
    at.group = digits.take(map.shape.groups), at.k = digits.take(y.view.blocks);
    if (apart) at.b = digits.take(batch), at.t = digits.take(steps);
    at.phase = digits.take(terms.phases);
    at.row = digits.rest * Tile::rows, at.rows = rows(at.phase);
    return at;
  }
  NDL_HD ConvWalk<T, Rounds> start(const At& at) const {
    ConvWalk<T, Rounds> walk{};
    const int64_t first = terms.first[at.phase];
    walk.a = x.base;
    walk.b = w.base + w.at(at.t, at.b, at.k) + at.columns.first * map.weight_own + at.group * map.weight_group;
    walk.terms = terms.terms + first * kConvSlice;
    walk.slices = static_cast<int32_t>(terms.first[at.phase + 1] - first);
    walk.all = at.row < at.rows ? walk.slices : 0;
    walk.columns = static_cast<int32_t>(at.columns.count);
    return walk;
  }
  NDL_HD void next(ConvWalk<T, Rounds>*) const {}

  // Row i of a tile; returns where its first sum belongs, or -1.
  NDL_HD int64_t row(const At& at, int i, ConvRow* row) const {
    *row = {0, 0, 0};
    if (at.row + i >= at.rows) return terms.fields.no_terms(row), -1;
    const ConvShape& shape = map.shape;
    Digits digits{at.row + i}, phase{at.phase};
    int64_t position = 0, before = 1;
    bool none = false;
    for (int d = shape.rank; d-- > 0;) {
      const ConvDimension& dim = shape.dims[d];
      const int64_t of_phase = phase.take(MapTerms<T>::phases_of(shape, d));
      const int64_t j = digits.take(MapTerms<T>::positions(shape, d, of_phase));
      const int64_t taps = typename MapTerms<T>::Line(shape, d, of_phase).count;
      // Number i meets the image at start - i or start + i.
      const int64_t start = shape.transposed ? (of_phase + dim.pad) / dim.stride + j : j * dim.stride - dim.pad;
      const int64_t begin = shape.transposed ? start - dim.in + 1 : -start, end = begin + dim.in - 1;
      const int64_t first = begin > 0 ? begin : 0, last = end < taps ? end : taps - 1;
      none = none || first > last;
      if (!none) row->first |= terms.fields.field(d, first), row->last |= terms.fields.field(d, last);
      row->a += start * map.image_step[d];
      position += (shape.transposed ? of_phase + j * dim.stride : j) * before, before *= dim.out;
    }
    if (none) terms.fields.no_terms(row);
    const int64_t b = apart ? at.b : digits.take(batch), t = apart ? at.t : digits.rest;
    const int64_t channel = at.group * map.per_group + at.columns.first;
    row->a += x.at(t, b, at.k) + at.group * map.channels * map.image_channel;
    return y.at(t, b, at.k) + position * (shape.channels_last ? shape.out_channels : 1) + channel * out_column;
  }
  NDL_HD void put(int64_t at, T sum) const {
    T& to = y.base[at];
    to = way == ConvPut::set ? sum : way == ConvPut::inc ? to + sum : to + (T(0) + sum);
  }
};

}  // namespace cuda
}  // namespace nengo_dl
