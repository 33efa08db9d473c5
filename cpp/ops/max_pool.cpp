// `max_pool`: the largest element of each window, channel by channel, in any number of spatial dimensions.
#include "kernels/max_pool.h"

#include "engine/backend.h"
#include "engine/kind.h"
#include "ops/adjoint.h"
#include "ops/convolution.h"
#include "ops/spatial.h"
#include "ops/util.h"

namespace nengo_dl {
namespace {

void check(const OpRecord& op, const Program&) {
  check_dimensions(op);
  const auto &in = op.integers("in_shape"), &out = op.integers("out_shape"), &kernel = op.integers("kernel"),
             &stride = op.integers("stride"), &pad = op.integers("pad");
  for (size_t d = 0; d < kernel.size(); d++)  // the first window, and the last
    if (pad[d] >= kernel[d] || (out[d] - 1) * stride[d] - pad[d] >= in[d])
      op.fail("dimension " + std::to_string(d) + ": expected windows that all meet the input, got one beyond it");
  const int64_t channels = check_extent(op, "channels", op.integer("channels"), 1);
  check_flag(op, "channels_last");
  const std::string& ties = op.text("ties");
  if (ties != "first" && ties != "share") op.fail("attribute 'ties': expected 'first' or 'share', got '" + ties + "'");
  check_flat(op, "X", product_of(op, in, channels));
  check_flat(op, "Y", product_of(op, out, channels));
}

template <class T>
class MaxPoolKernel : public Kernel<T> {
 public:
  MaxPoolKernel(const OpRecord& op, const Program& p)
      : X_(op.arg("X")),
        Y_(op.arg("Y")),
        constant_X_(in_param(op.arg("X"), p)),
        share_(op.text("ties") == "share"),
        run_(NDL_PICK_TYPED(T, max_pool)),
        grad_(NDL_PICK_TYPED(T, max_pool_grad)) {
    const bool last = op.integer("channels_last") != 0;
    PoolWindow<T>& w = window_;
    w.rank = static_cast<int>(op.integers("kernel").size());
    w.channels = op.integer("channels");
    w.set = op.set();
    dims_.resize(static_cast<size_t>(w.rank));
    position_step_ = last ? w.channels : 1;
    int64_t in = position_step_;
    for (size_t d = dims_.size(); d-- > 0; in *= dims_[d].in, outputs_ *= dims_[d].out) {
      dims_[d] = {op.integers("in_shape")[d], op.integers("out_shape")[d], op.integers("kernel")[d],
                  op.integers("stride")[d], op.integers("pad")[d]};
      w.input_step[d] = in;
    }
    w.input_channel = last ? 1 : in;
    w.out_channel = last ? 1 : outputs_;
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    for (int64_t t = t0; t < t1; t++)
      for (int64_t b = 0; b < f.batch; b++)
        for (int64_t k = 0; k < Y_.blocks; k++) {
          const T* X = X_.at(f, t, b) + X_.offsets[k];
          T* Y = Y_.at(f, t, b) + Y_.offsets[k];
          each_window([&](PoolWindow<T>& w, int64_t from, int64_t to) {
            w.input = X + from;
            w.out = Y + to;
            run_(w);
          });
        }
  }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (!constant_X_) grad_X(f, t0, t1);
  }

  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (constant_X_) grad_X(f, t0, t1);
  }

 private:
  void grad_X(const GradFrame<T>& f, int64_t t0, int64_t t1) const {
    if (!f.adjoint.base[X_.buffer] || !f.adjoint.base[Y_.buffer]) return;
    for (int64_t k = 0; k < Y_.blocks; k++)
      for (int64_t t = t1; t-- > t0;)
        for (int64_t b = 0; b < f.adjoint.batch; b++) {
          const T* X = X_.at(f.value, t, b) + X_.offsets[k];
          T* dX = X_.at(f.adjoint, t, b) + X_.offsets[k];
          const T* dY = Y_.at(f.adjoint, t, b) + Y_.offsets[k];
          each_window([&](PoolWindow<T>& w, int64_t from, int64_t to) {
            w.input = X + from;
            grad_({w, dX + from, dY + to, share_});
          });
        }
  }

  // Calls f(window, element of X at its first tap, element of Y).
  template <class F>
  void each_window(F f) const {
    PoolWindow<T> w = window_;
    int64_t at[kMaxSpatial] = {};
    for (int64_t position = 0; position < outputs_; position++) {
      int64_t from = 0;
      for (int d = 0; d < w.rank; d++) {
        const Taps taps = dims_[static_cast<size_t>(d)].direct(at[d]);
        w.taps[d] = taps.count;
        from += taps.start * w.input_step[d];
      }
      f(w, from, position * position_step_);
      for (int d = w.rank - 1; d >= 0 && ++at[d] == dims_[static_cast<size_t>(d)].out; d--) at[d] = 0;
    }
  }

  View X_, Y_;
  bool constant_X_, share_;
  int64_t outputs_ = 1, position_step_;  // positions; elements from one to the next
  std::vector<ConvDimension> dims_;
  PoolWindow<T> window_{};
  void (*run_)(const PoolWindow<T>&);
  void (*grad_)(const PoolWindowGrad<T>&);
};

Kind kind() {
  Kind k{"max_pool", {{"X", Access::read}, {"Y", Access::inc}}};
  k.attrs = {kSet,
             {"in_shape", AttrType::integers},
             {"out_shape", AttrType::integers},
             {"channels", AttrType::integer},
             {"kernel", AttrType::integers},
             {"stride", AttrType::integers},
             {"pad", AttrType::integers},
             {"channels_last", AttrType::integer},
             {"ties", AttrType::text}};
  k.settable = "Y";
  k.gradient = Gradient::exact;
  k.reads = {"X"};
  k.check = check;
  return k;
}

const KindRegistration max_pool(kind());
const CpuKernel<MaxPoolKernel> kernel("max_pool");

}  // namespace
}  // namespace nengo_dl
