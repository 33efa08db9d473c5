// Sums of products: encoders, decoders, weights.
#include <algorithm>
#include <optional>

#include "engine/backend.h"
#include "engine/kind.h"
#include "engine/op_util.h"
#include "ops/dense_grad.h"
#include "ops/finite.h"

namespace nengo_dl {
namespace {

template <class T>
class DenseKernel : public Kernel<T> {
 public:
  DenseKernel(const OpRecord& op, const Program& p)
      : a_(op.arg("A")),
        x_(op.arg("X")),
        y_(op.arg("Y")),
        bias_(op.find_arg("bias") ? op.arg("bias") : op.arg("Y")),
        has_bias_(op.find_arg("bias") != nullptr),
        d_(dense_args<T>(op)) {
    kernel_ = dense_function(d_, has_bias_);
    // measured: in less, looking for spikes costs more than it saves. A row by itself is bound by its chain of
    // additions.
    constexpr int64_t kWorth = 32768, kOutputs = 64, kInputsOfRow = 64;
    const Buffer& weights = p.buffers[a_.buffer];
    a_size_ = weights.size;
    packed_ = kernel_ == NDL_PICK_TYPED(T, dense_cols) && std::min(d_.m, d_.n) >= kPackedSize;
    const bool may_skip = kernel_ == NDL_PICK_TYPED(T, dense_cols) && d_.x_j == 1 && weights.kind == BufferKind::param;
    skips_in_rows_ = may_skip && d_.m >= kOutputs && d_.m * d_.n >= kWorth;
    skips_in_row_ = skips_in_rows_ || (may_skip && d_.n >= kInputsOfRow);
    grad_.emplace(op, p, d_);
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const int64_t steps = t1 - t0, items = f.batch;
    if (f.row[a_.buffer] || f.item[a_.buffer]) {  // each item, or even step, has weights of its own
      if (f.row[a_.buffer] || steps == 1) {
        for (int64_t t = t0; t < t1; ++t)
          for (int64_t b = 0; b < items; ++b) rows(f, t, b, 1, false);
      } else {
        for (int64_t b = 0; b < items; ++b) rows(f, t0, b, steps, true);
      }
    } else {
      const bool together = one_stride(f, x_) && one_stride(f, y_) && (!has_bias_ || one_stride(f, bias_));
      each_row_line(t0, t1, items, together, steps > items,
                    [&](int64_t t, int64_t b, int64_t count, bool along_steps) { rows(f, t, b, count, along_steps); });
    }
  }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::values); }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::params); }
  bool sets(int64_t buffer) const override { return buffer == x_.buffer; }

 private:
  void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass) const {
    grad_->add(f, t0, t1, pass, a_, x_, y_, has_bias_ ? &bias_ : nullptr);
  }

  void rows(const Frame<T>& f, int64_t t, int64_t b, int64_t count, bool along_steps) const {
    auto stride = [&](const View& o) { return along_steps ? f.row[o.buffer] : f.item[o.buffer]; };
    if (count > 1 && stride(y_) == 0) {  // rows that come together in one place, one after the other
      for (int64_t i = 0; i < count; ++i) along_steps ? rows(f, t + i, b, 1, true) : rows(f, t, b + i, 1, false);
      return;
    }
    DenseArgs<T> d = d_;
    d.a = a_.at(f, t, b), d.x = x_.at(f, t, b), d.y = y_.at(f, t, b);
    d.bias = has_bias_ ? bias_.at(f, t, b) : nullptr;
    d.rows = count, d.x_row = stride(x_), d.y_row = stride(y_), d.bias_row = stride(bias_);
    if ((count == 1 ? skips_in_row_ : skips_in_rows_) && few_(d) && all_finite(f, a_.buffer, a_size_, count))
      return spikes_(d);
    if (packed_ && count >= kPackedRows && can_pack<T>()) return run_packed(d);
    kernel_(d);
  }

  View a_, x_, y_, bias_;
  bool has_bias_;
  DenseArgs<T> d_;
  DenseFunction<T> kernel_ = nullptr;
  bool packed_;                        // where there are many rows
  bool skips_in_row_, skips_in_rows_;  // inputs that are 0, if there are many: of one row, or several
  int64_t a_size_;
  bool (*few_)(const DenseArgs<T>&) = NDL_PICK_TYPED(T, dense_few);
  DenseFunction<T> spikes_ = NDL_PICK_TYPED(T, dense_spikes);
  std::optional<DenseGrad<T>> grad_;
};

void check(const OpRecord& op, const Program&) {
  const std::vector<int64_t>& a = op.arg("A").shape;
  need_shape(op, "X", {a[1]});
  need_shape(op, "Y", {a[0]});
  if (!op.find_arg("bias")) return;
  need_shape(op, "bias", {a[0]});
  if (!op.set()) op.fail("has a bias: expected set=1, got set=0");
}

Kind kind() {
  Kind k{"dense",
         {{"A", Access::read, 2}, {"X", Access::read, 1}, {"Y", Access::inc, 1}, {"bias", Access::read, 1, true}},
         {kSet}};
  k.settable = "Y";
  k.rows = {"Y", "A", "bias"};
  k.gradient = Gradient::exact;
  k.reads = {"A", "X"};
  k.check = check;
  return k;
}

const KindRegistration dense(kind());
const CpuKernel<DenseKernel> kernel("dense");

}  // namespace
}  // namespace nengo_dl
