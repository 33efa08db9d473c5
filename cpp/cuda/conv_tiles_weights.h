// Tiles of derivatives by weights.
#pragma once

#include "cuda/conv_tiles_terms.h"

namespace nengo_dl {
namespace cuda {

// Positions of the smaller image of a convolution, of one item at one step.
template <class T>
struct PositionTerms {
  ConvFields fields;
  const ConvTerm* terms = nullptr;
  int64_t slices = 0;
  double filled = 1;  // by what part

  PositionTerms() = default;
  PositionTerms(const ConvProduct<T>& product, Tables& tables) {
    const ConvShape& shape = product.shape;
    const auto* const large = shape.transposed ? product.output_step : product.input_step;
    const auto* const small = shape.transposed ? product.input_step : product.output_step;
    int64_t count[kMaxSpatial], all = 1;
    for (int d = 0; d < shape.rank; ++d) all *= count[d] = small_size(shape.dims[d], shape.transposed);
    fields = ConvFields(shape.rank, count);
    std::vector<ConvTerm> found;
    for (int64_t position = 0; position < all; ++position) {
      Digits digits{position};
      int64_t a = 0, b = 0;
      uint32_t number = 0;
      for (int d = shape.rank; d-- > 0;) {
        const int64_t i = digits.take(count[d]);
        a += i * shape.dims[d].stride * large[d], b += i * small[d], number |= fields.field(d, i);
      }
      found.push_back({static_cast<int32_t>(a), static_cast<int32_t>(b), number});
    }
    pad_terms(&found, fields);
    slices = static_cast<int64_t>(found.size()) / kConvSlice, filled = double(all) / found.size();
    terms = tables.add(found);
  }
  static int64_t small_size(const ConvDimension& d, bool transposed) { return transposed ? d.in : d.out; }
};

// Rows: taps and channels of the larger image, columns: channels of the smaller one; both of a group. Steps and items
// are summed as in ConvolutionOp::back, each with a sum of its own.
template <class T>
struct WeightJob {
  using Scalar = T;
  struct Rounds {
    const T *a, *b;
    int64_t row, b0, t0, k;
  };
  static constexpr bool sums = true;
  ConvProduct<T> product;
  PositionTerms<T> terms;
  ConvArray<T> large, small, w;
  int64_t steps, batch, parts, count, weights;  // elements of W, and of a block of them
  T* parts_of;                                  // as ConvolutionOp::sums
  bool joined;                                  // all blocks have the same weights
  int64_t large_group, small_group, large_channel, taps;
  uint32_t above;
  int32_t b_column;
  int64_t out_column;
  bool b_columns_inner;

  template <bool kTransposed>
  WeightJob(const ConvolutionOp<T, kTransposed>& op, const PositionTerms<T>& terms_of, const GradFrame<T>& f,
            int64_t t0, int64_t steps_of)
      : product(op.product),
        terms(terms_of),
        large(kTransposed ? op.y : op.x, kTransposed ? f.adjoint : f.value, t0),
        small(kTransposed ? op.x : op.y, kTransposed ? f.value : f.adjoint, t0),
        w(op.w, f.adjoint, t0),
        steps(steps_of),
        batch(f.adjoint.batch),
        parts(op.parts),
        count(op.w.count),
        weights(op.w.size),
        parts_of(op.sums),
        joined(op.w.start != nullptr),
        large_group(kTransposed ? product.out_group : product.in_group),
        small_group(kTransposed ? product.in_group : product.out_group),
        large_channel(kTransposed ? product.output_channel : product.input_channel),
        taps(product.shape.taps()),
        above(terms.fields.above),
        b_column(static_cast<int32_t>(kTransposed ? product.input_channel : product.output_channel)),
        out_column(kTransposed ? product.shape.out_channels : 1),
        b_columns_inner(product.shape.channels_last) {}

  bool rows_inner() const { return product.shape.channels_last; }
  int64_t columns() const { return small_group; }
  int64_t copies() const {
    const int64_t targets = (w.row ? steps : 1) * (w.item ? batch : 1) * (joined ? 1 : w.view.blocks);
    return product.shape.groups * targets * parts;
  }
  double all_sums() const { return copies() * busy() * taps * large_group * small_group; }
  template <class Tile>
  int64_t blocks() const {
    return conv_pieces(columns(), Tile::columns) * copies() * conv_pieces(taps * large_group, Tile::rows);
  }
  double filled() const { return terms.filled; }
  double busy() const { return double(std::min(parts, all_rows())) / parts; }
  bool countable() const { return all_rows() * rounds_of_row() <= INT32_MAX / terms.slices; }

  struct At {
    ConvColumns columns;
    int64_t row, group, k, b, t, part;
  };
  template <class Tile>
  NDL_HD At find(int64_t block) const {
    Digits digits{block};
    const int64_t piece = digits.take(conv_pieces(small_group, Tile::columns));
    At at{ConvColumns(piece, Tile::columns, small_group), 0, 0, 0, 0, 0, 0};
    at.row = digits.take(conv_pieces(taps * large_group, Tile::rows)) * Tile::rows;
    at.group = digits.take(product.shape.groups), at.k = joined ? 0 : digits.take(w.view.blocks);
    if (w.item) at.b = digits.take(batch);
    if (w.row) at.t = digits.take(steps);
    at.part = digits.rest;
    return at;
  }
  NDL_HD ConvWalk<T, Rounds> start(const At& at) const {
    ConvWalk<T, Rounds> walk{};
    walk.terms = terms.terms, walk.slices = static_cast<int32_t>(terms.slices);
    walk.columns = static_cast<int32_t>(at.columns.count);
    const int64_t a = at.group * large_group * large_channel;
    const int64_t b = (at.group * small_group + at.columns.first) * b_column;
    walk.rounds = {large.base + a, small.base + b, at.part, at.b, at.t, at.k};
    const int64_t rows = all_rows();
    if (at.part < rows) {
      walk.all = static_cast<int32_t>(conv_pieces(rows - at.part, parts) * rounds_of_row() * terms.slices);
      go(&walk);
    }
    return walk;
  }
  NDL_HD void next(ConvWalk<T, Rounds>* walk) const {
    Rounds& at = walk->rounds;
    if (joined && ++at.k < w.view.blocks) return go(walk);
    if (joined) at.k = 0;
    at.row += parts;
    if (at.row < all_rows()) go(walk);
  }

  NDL_HD int64_t row(const At& at, int i, ConvRow* row) const {
    *row = {0, 0, 0};
    if (at.row + i >= taps * large_group) return terms.fields.no_terms(row), -1;
    const ConvShape& shape = product.shape;
    Digits digits{at.row + i};
    const int64_t channel = digits.take(large_group), tap = digits.rest;
    bool none = false;
    for (int d = shape.rank; d-- > 0;) {
      const ConvDimension& dim = shape.dims[d];
      const int64_t number = digits.take(dim.kernel);
      const Joined j = dim.joined(number, shape.transposed);
      none = none || j.count == 0;
      if (none) continue;
      row->first |= terms.fields.field(d, j.small), row->last |= terms.fields.field(d, j.small + j.count - 1);
      row->a += (number - dim.pad) * (shape.transposed ? product.output_step[d] : product.input_step[d]);
    }
    if (none) terms.fields.no_terms(row);
    row->a += channel * large_channel;
    const int64_t element = tap * product.in_group * shape.out_channels + at.group * product.out_group +
                            channel * (shape.transposed ? 1 : shape.out_channels) + at.columns.first * out_column;
    return parts > 1 ? at.part * count + at.k * weights + element : w.at(at.t, at.b, at.k) + element;
  }
  NDL_HD void put(int64_t at, T sum) const {
    if (parts > 1)
      parts_of[at] = sum;
    else
      w.base[at] += sum;
  }

 private:
  NDL_HD int64_t all_rows() const { return (w.row ? 1 : steps) * (w.item ? 1 : batch); }
  NDL_HD int64_t rounds_of_row() const { return joined ? w.view.blocks : 1; }
  NDL_HD void go(ConvWalk<T, Rounds>* walk) const {
    const Rounds& at = walk->rounds;
    Digits row{at.row};
    const int64_t b = w.item ? at.b0 : row.take(batch), t = w.row ? at.t0 : row.rest;
    walk->a = at.a + large.at(t, b, at.k), walk->b = at.b + small.at(t, b, at.k);
  }
};

}  // namespace cuda
}  // namespace nengo_dl
