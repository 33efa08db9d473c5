// `conv` and `conv_transpose`, in any number of spatial dimensions, with groups.
// Both are computed output by output: along each dimension the taps that meet the input are an arithmetic series.
#include "kernels/conv.h"

#include <algorithm>

#include "ops/rows.h"
#include "ops/util.h"

namespace nengo_dl {
namespace {

constexpr int64_t kMaxExtent = int64_t{1} << 31, kMaxElements = int64_t{1} << 40;

int64_t product_of(const OpRecord& op, const std::vector<int64_t>& values, int64_t start) {
  int64_t product = start;
  for (int64_t v : values) {  // each at least 1
    if (product > kMaxElements / v) op.fail("its sizes multiply to more than 2^40");
    product *= v;
  }
  return product;
}

void check_flat(const OpRecord& op, const char* name, int64_t due) {
  const Operand& o = op.arg(name);
  if (!is_contiguous(o)) op.fail(std::string("'") + name + "' is not contiguous");
  if (o.count() != due)
    op.fail(std::string("'") + name + "' has " + std::to_string(o.count()) + " elements, " + std::to_string(due) +
            " were due");
}

int64_t check_extent(const OpRecord& op, const char* key, int64_t value, int64_t least) {
  if (value < least || value >= kMaxExtent)
    op.fail(std::string("attribute '") + key + "' holds " + std::to_string(value) + ", " + std::to_string(least) +
            " to 2^31 - 1 were due");
  return value;
}

void check(const OpRecord& op, const Program&) {
  const size_t rank = op.integers("kernel").size();
  if (rank < 1 || rank > kMaxSpatial)
    op.fail("has " + std::to_string(rank) + " spatial dimensions, 1 to " + std::to_string(kMaxSpatial) + " were due");
  for (const char* key : {"kernel", "in_shape", "out_shape", "stride", "pad"}) {
    const std::vector<int64_t>& values = op.integers(key);
    if (values.size() != rank)
      op.fail(std::string("attribute '") + key + "' has " + std::to_string(values.size()) + " values, " +
              std::to_string(rank) + " (one per spatial dimension) were due");
    for (int64_t v : values) check_extent(op, key, v, std::string(key) == "pad" ? 0 : 1);
  }
  const int64_t in = check_extent(op, "in_channels", op.integer("in_channels"), 1);
  const int64_t out = check_extent(op, "out_channels", op.integer("out_channels"), 1);
  const int64_t groups = check_extent(op, "groups", op.integer("groups"), 1);
  if (in % groups != 0 || out % groups != 0)
    op.fail(std::to_string(in) + " input and " + std::to_string(out) + " output channels can't be split into " +
            std::to_string(groups) + " groups");
  check_flag(op, "channels_last");
  set_attr(op);
  check_flat(op, "X", product_of(op, op.integers("in_shape"), in));
  check_flat(op, "Y", product_of(op, op.integers("out_shape"), out));
  check_flat(op, "W", product_of(op, {in / groups, out}, product_of(op, op.integers("kernel"), 1)));
}

// The taps of one dimension that meet the input: `count` of them, the first being tap `first` at input `start`.
struct Taps {
  int64_t count, first, start;
};

struct Dimension {
  int64_t in, out, kernel, stride, pad;

  Taps direct(int64_t position) const {
    const int64_t begin = position * stride - pad, first = std::max<int64_t>(0, -begin);
    return {std::max<int64_t>(0, std::min(kernel, in - begin) - first), first, begin + first};
  }
  // Tap k takes input p where p stride + k - pad is the position: p falls by 1 while k grows by stride.
  Taps transposed(int64_t position) const {
    const int64_t sum = position + pad;
    int64_t first = sum % stride, start = sum / stride;
    if (start >= in) {
      first += (start - in + 1) * stride;
      start = in - 1;
    }
    const int64_t taps = first < kernel ? (kernel - 1 - first) / stride + 1 : 0;
    return {std::min(taps, start + 1), first, start};
  }
};

inline auto kernel(float) { return NDL_PICK(conv_point32); }
inline auto kernel(double) { return NDL_PICK(conv_point64); }

template <class T, bool kTransposed>
class ConvolutionOp : public Op<T> {
 public:
  ConvolutionOp(const OpRecord& op, const Program&)
      : W_(op.arg("W")),
        X_(op.arg("X")),
        Y_(op.arg("Y")),
        groups_(op.integer("groups")),
        in_channels_(op.integer("in_channels")),
        out_channels_(op.integer("out_channels")),
        run_(kernel(T())) {
    const bool last = op.integer("channels_last") != 0;
    int64_t in_count = 1;
    for (size_t d = 0; d < op.integers("kernel").size(); d++) {
      dims_.push_back({op.integers("in_shape")[d], op.integers("out_shape")[d], op.integers("kernel")[d],
                       op.integers("stride")[d], op.integers("pad")[d]});
      in_count *= dims_.back().in;
      positions_ *= dims_.back().out;
    }
    int64_t weight = in_channels_ / groups_ * out_channels_, input = last ? in_channels_ : 1;
    weight_step_.resize(dims_.size());
    input_step_.resize(dims_.size());
    for (size_t d = dims_.size(); d-- > 0;) {
      weight_step_[d] = weight, input_step_[d] = input;
      weight *= dims_[d].kernel, input *= dims_[d].in;
    }
    position_step_ = last ? out_channels_ : 1;
    ConvPoint<T>& p = point_;
    p.rank = static_cast<int>(dims_.size());
    p.in_channels = in_channels_ / groups_;
    p.out_channels = out_channels_ / groups_;
    p.weight_channel = out_channels_;
    p.input_channel = last ? 1 : in_count;
    p.out_step = last ? 1 : positions_;
    p.set = set_attr(op);
    for (int d = 0; d < p.rank; d++) {
      p.weight_step[d] = weight_step_[d] * (kTransposed ? dims_[d].stride : 1);
      p.input_step[d] = kTransposed ? -input_step_[d] : input_step_[d];
    }
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    for (int64_t t = t0; t < t1; t++)
      for (int64_t b = 0; b < f.batch; b++)
        for (size_t k = 0; k < Y_.offsets.size(); k++)
          convolve(W_.at(f, t, b) + W_.offsets[k], X_.at(f, t, b) + X_.offsets[k], Y_.at(f, t, b) + Y_.offsets[k]);
  }

 private:
  void convolve(const T* W, const T* X, T* Y) const {
    ConvPoint<T> p = point_;
    int64_t at[kMaxSpatial] = {};
    for (int64_t position = 0; position < positions_; position++, Y += position_step_) {
      int64_t weight = 0, input = 0;
      for (int d = 0; d < p.rank; d++) {
        const Taps taps = kTransposed ? dims_[d].transposed(at[d]) : dims_[d].direct(at[d]);
        p.taps[d] = taps.count;
        if (taps.count == 0) continue;  // first and start name nothing then
        weight += taps.first * weight_step_[d];
        input += taps.start * input_step_[d];
      }
      for (int64_t g = 0; g < groups_; g++) {
        p.weight = W + weight + g * p.out_channels;
        p.input = X + input + g * p.in_channels * p.input_channel;
        p.out = Y + g * p.out_channels * p.out_step;
        run_(p);
      }
      for (int d = p.rank - 1; d >= 0 && ++at[d] == dims_[d].out; d--) at[d] = 0;
    }
  }

  Access1 W_, X_, Y_;
  int64_t groups_, in_channels_, out_channels_, positions_ = 1, position_step_;
  std::vector<Dimension> dims_;
  std::vector<int64_t> weight_step_, input_step_;  // elements from tap to tap and from input position to position
  ConvPoint<T> point_{};
  void (*run_)(const ConvPoint<T>&);
};

template <class T>
using ConvOp = ConvolutionOp<T, false>;
template <class T>
using ConvTransposeOp = ConvolutionOp<T, true>;

const std::vector<ArgSpec> args{{"W", Access::read, -1}, {"X", Access::read, -1}, {"Y", Access::inc, -1}};
const std::vector<std::string> attrs{"set",    "in_shape", "out_shape", "in_channels", "out_channels",
                                     "kernel", "stride",   "pad",       "groups",      "channels_last"};
OpRegistration conv(make_spec<ConvOp>("conv", args, attrs, check));
OpRegistration conv_transpose(make_spec<ConvTransposeOp>("conv_transpose", args, attrs, check));

}  // namespace
}  // namespace nengo_dl
