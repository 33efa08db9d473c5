// `conv` and `conv_transpose`, in any number of spatial dimensions, with groups.
#include "engine/backend.h"
#include "engine/kind.h"
#include "ops/adjoint.h"
#include "ops/conv_spikes.h"
#include "ops/convolution.h"
#include "ops/finite.h"
#include "ops/lines.h"
#include "ops/spatial.h"
#include "ops/util.h"

namespace nengo_dl {
namespace {

void check(const OpRecord& op, const Program&) {
  check_dimensions(op);
  const int64_t in = check_extent(op, "in_channels", op.integer("in_channels"), 1);
  const int64_t out = check_extent(op, "out_channels", op.integer("out_channels"), 1);
  const int64_t groups = check_extent(op, "groups", op.integer("groups"), 1);
  if (in % groups != 0 || out % groups != 0)
    op.fail(std::to_string(in) + " input and " + std::to_string(out) + " output channels can't be split into " +
            std::to_string(groups) + " groups");
  check_flag(op, "channels_last");
  check_flat(op, "X", product_of(op, op.integers("in_shape"), in));
  check_flat(op, "Y", product_of(op, op.integers("out_shape"), out));
  check_flat(op, "W", product_of(op, {in / groups, out}, product_of(op, op.integers("kernel"), 1)));
}

template <class T, bool kTransposed>
class ConvolutionKernel : public Kernel<T> {
 public:
  ConvolutionKernel(const OpRecord& op, const Program& p)
      : W_(op.arg("W")),
        X_(op.arg("X")),
        Y_(op.arg("Y")),
        constant_W_(in_param(op.arg("W"), p)),
        constant_X_(in_param(op.arg("X"), p)),
        set_(op.set()),
        shape_(op, kTransposed),
        W_size_(p.buffers[op.arg("W").buffer].size),
        forward_(shape_),
        spikes_(shape_, forward_.goes_tap_by_tap(shape_)),
        backward_(shape_),
        products_(shape_) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const bool shared_W = !f.row[W_.buffer] && !f.item[W_.buffer];
    each_lines(f, Y_, f, X_, t0, t1, shared_W, [&](int64_t t, int64_t b, int64_t count, bool along_steps) {
      const int64_t X_item = distance(f, X_, along_steps), Y_item = distance(f, Y_, along_steps);
      for (int64_t k = 0; k < Y_.blocks; k++) {
        const T* const W = W_.at(f, t, b) + W_.offsets[k];
        const T* X = X_.at(f, t, b) + X_.offsets[k];
        T* Y = Y_.at(f, t, b) + Y_.offsets[k];
        int64_t left = count;  // the first row that is none of spikes ends the search for them
        if (skips(f, count))
          for (; left > 0 && spikes_.run(W, X, Y, set_); left--) X += X_item, Y += Y_item;
        if (left > 0) forward_.run(W, X, X_item, Y, Y_item, left, set_);
      }
    });
  }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (!constant_X_) grad_X(f, t0, t1, f.unset[X_.buffer]);
    if (!constant_W_) grad_W(f, t0, t1);
  }
  bool sets(int64_t buffer) const override { return buffer == X_.buffer; }

  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (constant_X_) grad_X(f, t0, t1, false);
    if (constant_W_) grad_W(f, t0, t1);
  }

 private:
  bool skips(const Frame<T>& f, int64_t rows) const {
    return constant_W_ && spikes_.possible() && all_finite(f, W_.buffer, W_size_, rows);
  }
  static int64_t distance(const Frame<T>& f, const View& o, bool along_steps) {
    return along_steps ? f.row[o.buffer] : f.item[o.buffer];
  }

  // Lines of rows whose results, in frame `to`, lie in different places; one row at a time if they don't.
  template <class F>
  static void each_lines(const Frame<T>& to, const View& result, const Frame<T>& from, const View& read, int64_t t0,
                         int64_t t1, bool together, F&& f) {
    const int64_t steps = t1 - t0, items = to.batch;
    const bool apart = (to.item[result.buffer] || items == 1) && (to.row[result.buffer] || steps == 1);
    if (together && apart)
      return each_row_line(t0, t1, items, one_stride(to, result) && one_stride(from, read), steps > items, f);
    for (int64_t t = t0; t < t1; t++)
      for (int64_t b = 0; b < items; b++) f(t, b, int64_t{1}, false);
  }

  void grad_X(const GradFrame<T>& f, int64_t t0, int64_t t1, bool set) const {
    if (!f.adjoint.base[X_.buffer] || !f.adjoint.base[Y_.buffer]) return;
    const bool together = !f.value.row[W_.buffer] && !f.value.item[W_.buffer] && backward_.together();
    for (int64_t k = 0; k < Y_.blocks; k++) {
      const T *held = nullptr, *prepared = nullptr;
      each_lines(f.adjoint, X_, f.adjoint, Y_, t0, t1, together, [&](int64_t t, int64_t b, int64_t count, bool along) {
        const T* W = W_.at(f.value, t, b) + W_.offsets[k];
        if (W != held) prepared = backward_.prepared(W);
        held = W;
        backward_.add(prepared, Y_.at(f.adjoint, t, b) + Y_.offsets[k], distance(f.adjoint, Y_, along),
                      X_.at(f.adjoint, t, b) + X_.offsets[k], distance(f.adjoint, X_, along), count, set);
      });
    }
  }

  void grad_W(const GradFrame<T>& f, int64_t t0, int64_t t1) const {
    if (!f.adjoint.base[W_.buffer] || !f.adjoint.base[Y_.buffer]) return;
    const int64_t batch = f.adjoint.batch, most = constant_W_ ? products_.items(batch) : 1;
    for (int64_t k = 0; k < Y_.blocks; k++)
      for (int64_t t = t1; t-- > t0;)
        for (int64_t b = 0; b < batch; b += most)
          products_.add(X_.at(f.value, t, b) + X_.offsets[k], f.value.item[X_.buffer],
                        Y_.at(f.adjoint, t, b) + Y_.offsets[k], f.adjoint.item[Y_.buffer], std::min(most, batch - b),
                        W_.at(f.adjoint, t, b) + W_.offsets[k]);
  }

  View W_, X_, Y_;
  bool constant_W_, constant_X_;  // in param buffers
  bool set_;
  ConvShape shape_;
  int64_t W_size_;
  Convolution<T> forward_;
  ConvSpikes<T> spikes_;
  ConvAdjoint<T> backward_;
  ConvProducts<T> products_;
};

template <class T>
using ConvKernel = ConvolutionKernel<T, false>;
template <class T>
using ConvTransposeKernel = ConvolutionKernel<T, true>;

// `smaller`: the image of which each position meets every tap.
Kind kind(const char* name, const char* smaller) {
  Kind k{name, {{"W", Access::read}, {"X", Access::read}, {"Y", Access::inc}}};
  k.attrs = {kSet,
             {"in_shape", AttrType::integers},
             {"out_shape", AttrType::integers},
             {"in_channels", AttrType::integer},
             {"out_channels", AttrType::integer},
             {"kernel", AttrType::integers},
             {"stride", AttrType::integers},
             {"pad", AttrType::integers},
             {"groups", AttrType::integer},
             {"channels_last", AttrType::integer}};
  k.settable = "Y";
  k.gradient = Gradient::exact;
  k.reads = {"W", "X"};
  k.check = check;
  k.uses = [smaller](const OpRecord& op) { return static_cast<double>(product_of(op, op.integers(smaller), 1)); };
  return k;
}

const KindRegistration conv(kind("conv", "out_shape")), conv_transpose(kind("conv_transpose", "in_shape"));
const CpuKernel<ConvKernel> conv_kernel("conv");
const CpuKernel<ConvTransposeKernel> conv_transpose_kernel("conv_transpose");

}  // namespace
}  // namespace nengo_dl
