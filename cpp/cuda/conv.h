// Convolutions: one thread per output, per adjoint of an input, and per weight. Channels that lie innermost are read
// side by side by neighbouring threads. Large ones are done in tiles (cuda/conv_tiles.h), which keep the order of sums.
#pragma once

#include "cuda/kernel.h"
#include "cuda/members.h"
#include "ops/conv_shape.h"

namespace nengo_dl {
namespace cuda {

// Sum of a[i] b[i] over an array of up to kMaxSpatial dimensions, and `channels` of each of its elements.
template <class T>
struct ConvTerms {
  int rank;
  int64_t count[kMaxSpatial], a_step[kMaxSpatial], b_step[kMaxSpatial];
  int64_t channels, a_channel, b_channel;

  NDL_HD T sum(const T* a, const T* b) const {
    int64_t outer = 1;
    for (int d = 0; d < rank; ++d) outer *= d < rank - 1 ? count[d] : count[d] > 0;
    T sum = 0;
    for (int64_t o = 0; o < outer; ++o) {
      Digits digits{o};
      const T *p = a, *q = b;
      for (int d = rank - 2; d >= 0; --d) {
        const int64_t at = digits.take(count[d]);
        p += at * a_step[d], q += at * b_step[d];
      }
      for (int64_t i = 0; i < count[rank - 1]; ++i, p += a_step[rank - 1], q += b_step[rank - 1])
        for (int64_t c = 0; c < channels; ++c) sum = device::fma(p[c * a_channel], q[c * b_channel], sum);
    }
    return sum;
  }
};

// From an image to the result of a convolution, or from adjoints of the result to those of the image.
template <class T>
struct ConvMap {
  ConvShape shape;  // of this map
  int64_t positions, per_group;
  int64_t image_step[kMaxSpatial], weight_step[kMaxSpatial];                  // from position to position, tap to tap
  int64_t channels, image_channel, weight_channel, weight_own, weight_group;  // distances of channels, and of groups

  // `weights`: the shape that the weights are made for; it or its swapped one is that of the map.
  ConvMap(const ConvShape& weights, bool back)
      : shape(back ? weights.swapped() : weights),
        positions(shape.outputs()),
        per_group(shape.out_channels / shape.groups),
        channels(shape.in_channels / shape.groups),
        image_channel(shape.channels_last ? 1 : shape.inputs()),
        weight_channel(back ? 1 : weights.out_channels),
        weight_own(back ? weights.out_channels : 1),
        weight_group(weights.out_channels / weights.groups) {
    const int64_t tap = weights.in_channels / weights.groups * weights.out_channels;
    const auto image = shape.steps(&ConvDimension::in, shape.channels_last ? shape.in_channels : 1);
    const auto weight = shape.steps(&ConvDimension::kernel, tap);
    std::copy(image.begin(), image.end(), image_step), std::copy(weight.begin(), weight.end(), weight_step);
  }

  // Element c of the result.
  NDL_HD T at(const T* weights, const T* image, int64_t c) const {
    Digits digits{c};
    const int64_t inner = digits.take(shape.channels_last ? shape.out_channels : positions);
    const int64_t channel = shape.channels_last ? inner : digits.rest;
    Digits position{shape.channels_last ? digits.rest : inner}, group{channel};
    const int64_t own = group.take(per_group);
    weights += own * weight_own + group.rest * weight_group;
    image += group.rest * channels * image_channel;
    ConvTerms<T> terms;
    terms.rank = shape.rank;
    terms.channels = channels, terms.a_channel = weight_channel, terms.b_channel = image_channel;
    for (int d = shape.rank - 1; d >= 0; --d) {
      const ConvDimension& dim = shape.dims[d];
      const int64_t at = position.take(dim.out);
      const Taps taps = shape.transposed ? dim.transposed(at) : dim.direct(at);
      terms.count[d] = taps.count;
      terms.a_step[d] = shape.transposed ? weight_step[d] * dim.stride : weight_step[d];
      terms.b_step[d] = shape.transposed ? -image_step[d] : image_step[d];
      if (taps.count == 0) return T(0);  // first and start name nothing then
      weights += taps.first * weight_step[d], image += taps.start * image_step[d];
    }
    return terms.sum(weights, image);
  }
};

// Derivatives by weights, of one item at one step.
template <class T>
struct ConvProduct {
  ConvShape shape;
  int64_t in_group, out_group, input_channel, output_channel;
  int64_t input_step[kMaxSpatial], output_step[kMaxSpatial];  // from position to position

  explicit ConvProduct(const ConvShape& s)
      : shape(s),
        in_group(s.in_channels / s.groups),
        out_group(s.out_channels / s.groups),
        input_channel(s.channels_last ? 1 : s.inputs()),
        output_channel(s.channels_last ? 1 : s.outputs()) {
    const auto in = s.steps(&ConvDimension::in, s.channels_last ? s.in_channels : 1);
    const auto out = s.steps(&ConvDimension::out, s.channels_last ? s.out_channels : 1);
    std::copy(in.begin(), in.end(), input_step), std::copy(out.begin(), out.end(), output_step);
  }

  // Of weight c.
  NDL_HD T at(const T* input, const T* output, int64_t c) const {
    Digits digits{c};
    const int64_t o = digits.take(shape.out_channels), i = digits.take(in_group);
    Digits group{o};
    group.take(out_group);
    input += (group.rest * in_group + i) * input_channel, output += o * output_channel;
    ConvTerms<T> terms;
    terms.rank = shape.rank;
    terms.channels = 1, terms.a_channel = terms.b_channel = 0;
    for (int d = shape.rank - 1; d >= 0; --d) {
      const ConvDimension& dim = shape.dims[d];
      const Joined j = dim.joined(digits.take(dim.kernel), shape.transposed);
      if (j.count == 0) return T(0);
      terms.count[d] = j.count;
      terms.a_step[d] = input_step[d] * (shape.transposed ? 1 : dim.stride);
      terms.b_step[d] = output_step[d] * (shape.transposed ? dim.stride : 1);
      input += (shape.transposed ? j.small : j.large) * input_step[d];
      output += (shape.transposed ? j.large : j.small) * output_step[d];
    }
    return terms.sum(input, output);
  }
};

template <class T, bool kTransposed>
struct ConvolutionOp : PlainOp {
  static constexpr int back_phases = 3;  // X; W; parts of W to W
  static constexpr int64_t kThreadsAsked = int64_t{1} << 20, kMostParts = 256;
  Place w, x, y;
  bool set, shared_w, shared_x;  // shared: in a param buffer
  ConvMap<T> forward, backward;
  ConvProduct<T> product;
  int64_t parts;      // into which the steps and items of a sum are divided, so that few weights keep a GPU busy too
  T* sums = nullptr;  // (parts, elements of W)

  ConvolutionOp(const OpRecord& op, const Program& p, Tables& tables)
      : ConvolutionOp(op, p, tables, ConvShape(op, kTransposed)) {}

  template <int P>
  NDL_HD int64_t work(const Frame<T>& f, int64_t steps) const {
    return y.work(f, steps);
  }
  template <int P, class Team>
  NDL_HD void run(const Frame<T>& f, int64_t t0, int64_t t1, int64_t i, const Team& team) const {
    y.put(f, t0, t1, i, team, set, [&](int64_t t, int64_t b, int64_t k, int64_t c) {
      return forward.at(block(w, f, t, b, k), block(x, f, t, b, k), c);
    });
  }

  bool loops_back() const { return parts == 1; }  // `sums` are one run's
  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t steps, Pass pass) const {
    const Place& to = P == 0 ? x : w;
    const bool shared = P == 0 ? shared_x : shared_w;
    if (!f.adjoint.base[to.view.buffer] || !f.adjoint.base[y.view.buffer]) return 0;
    if (shared != (pass == Pass::params) || (P == 2 && parts == 1)) return 0;
    return P == 1 && parts > 1 ? parts * w.count : to.work(f.adjoint, steps);
  }
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass, int64_t i, const Team& team) const {
    if (P == 0)
      return x.add(f.adjoint, t0, t1, i, team, [&](int64_t t, int64_t b, int64_t k, int64_t c) {
        return backward.at(block(w, f.value, t, b, k), block(y, f.adjoint, t, b, k), c);
      });
    const auto of_weight = [&](int64_t t, int64_t b, int64_t k, int64_t c) {
      return product.at(block(x, f.value, t, b, k), block(y, f.adjoint, t, b, k), c);
    };
    if (parts == 1) return w.add(f.adjoint, t0, t1, i, team, of_weight);
    if (team.lane != 0) return;
    if (P == 1) {
      Digits digits{i};
      const int64_t e = digits.take(w.count), rows = (t1 - t0) * f.adjoint.batch;
      T sum = 0;
      for (int64_t r = digits.rest; r < rows; r += parts) {
        Digits row{r};
        const int64_t b = row.take(f.adjoint.batch);
        each_member(w, e, [&](int64_t k, int64_t c) { sum += of_weight(t0 + row.rest, b, k, c); });
      }
      sums[i] = sum;
    } else {
      T sum = 0;
      NDL_UNROLL_SUM
      for (int64_t part = 0; part < parts; ++part) sum += sums[part * w.count + i];
      w.view.at(f.adjoint, t0, 0)[offset_of(w, i)] += sum;
    }
  }

 private:
  ConvolutionOp(const OpRecord& op, const Program& p, Tables& tables, const ConvShape& shape)
      : w(op.arg("W"), tables),
        x(op.arg("X"), tables),
        y(op.arg("Y"), tables),
        set(op.set()),
        shared_w(in_param(op.arg("W"), p)),
        shared_x(in_param(op.arg("X"), p)),
        forward(shape, false),
        backward(shape, true),
        product(shape),
        parts(shared_w ? std::clamp<int64_t>(kThreadsAsked / w.count, 1, kMostParts) : 1) {
    if (parts > 1) sums = reinterpret_cast<T*>(tables.room(parts * w.count * int64_t{sizeof(T)}));
  }
  NDL_HD static T* block(const Place& o, const Frame<T>& f, int64_t t, int64_t b, int64_t k) {
    return o.view.at(f, t, b) + o.view.block(k);
  }
};

template <class T>
using ConvOp = ConvolutionOp<T, false>;
template <class T>
using ConvTransposeOp = ConvolutionOp<T, true>;

}  // namespace cuda
}  // namespace nengo_dl
