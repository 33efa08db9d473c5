#include "cuda/dense.h"

#include <cstdlib>
#include <string>

#include "cuda/cublas.h"

namespace nengo_dl {
namespace cuda {
namespace {

template <class T>
struct FillBias {
  DenseOp<T> op;
  Frame<T> frame;
  int64_t t0, t1;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team& team) const {
    op.y.put(frame, t0, t1, i, team, true, [&](int64_t t, int64_t b, int64_t k, int64_t row) {
      return op.bias.view.at(frame, t, b)[op.bias.offset(k, row)];
    });
  }
};

// Of all steps and items, from one row to the next; 0: they are not at one distance.
template <class T>
int64_t distance(const Frame<T>& f, const View& o, int64_t steps) {
  const int64_t row = f.row[o.buffer], item = f.item[o.buffer];
  if (f.batch == 1) return row;
  return steps == 1 || row == f.batch * item ? item : 0;
}

template <class T>
bool is_one(const Frame<T>& f, const View& o) {  // of all steps and items
  return f.row[o.buffer] == 0 && f.item[o.buffer] == 0;
}

// From a block to the next; -1: that differs, or is less than 0.
int64_t block_distance(const View& o) { return o.regular && o.distance >= 0 ? o.distance : -1; }

// As DeviceKernel, but what is a product of large matrices is left to cuBLAS. That sums in an order of its own for each
// number of rows: a batch then has other last bits than runs of its items.
template <class T>
class DenseKernel final : public DeviceKernel<T, DenseOp<T>> {
  using Phases = DeviceKernel<T, DenseOp<T>>;

 public:
  DenseKernel(const OpRecord& record, const Program& program)
      : Phases(record, program),
        sizes_(program),
        a_(record.arg("A")),
        x_(record.arg("X")),
        y_(record.arg("Y")),
        m_(a_.shape[0]),
        n_(a_.shape[1]) {
    // A dimension of one element has no stride.
    const auto stride = [](const View& o, int64_t d) { return d >= o.rank || o.shape[d] == 1 ? 1 : o.strides[d]; };
    const int64_t a_i = stride(a_, 0), a_j = stride(a_, 1);
    by_columns_ = a_j != 1 || a_i < n_;
    a_row_ = by_columns_ ? a_j : a_i;
    possible_ = stride(x_, 0) == 1 && stride(y_, 0) == 1 && (!by_columns_ || a_i == 1);
    const char* const asked = std::getenv("NENGO_DL_GEMM");
    always_ = asked && std::string(asked) == "1";
    for (const Region& region : program.regions)
      for (const OpRecord& op : region.ops) in_loop_ = in_loop_ || (&op == &record && region.kind == RegionKind::loop);
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    // The way back runs a loop again, op by op: the phases have the bits of the kernel that ran it as a whole.
    if (in_loop_ || !is_one(f, a_) || !product_y(f, t0, t1)) Phases::run(f, t0, t1);
  }
  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::values); }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::params); }

 private:
  void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass) const {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    this->template back_phase<0>(f, t0, t1, pass,
                                 [&] { return !in_loop_ && is_one(f.value, a_) && product_x(f, t0, t1); });
    this->template back_phase<1>(f, t0, t1, pass, [&] { return is_one(f.adjoint, a_) && product_a(f, t0, t1); });
    this->template back_phase<2>(f, t0, t1, pass, [] { return false; });
  }

  // Y (+)= X A^T
  bool product_y(const Frame<T>& f, int64_t t0, int64_t t1) const {
    const int64_t steps = t1 - t0, rows = steps * f.batch;
    Gemm<T> g{rows, m_, n_, x_.at(f, t0, 0), a_.at(f, t0, 0), y_.at(f, t0, 0)};
    g.a_row = distance(f, x_, steps), g.b_row = a_row_, g.c_row = distance(f, y_, steps);
    g.b_turned = !by_columns_, g.add = !this->op().set || this->op().has_bias, g.tf32 = f.tf32;
    if (!asks_for(g, x_, a_, y_, !this->op().y.start, rows)) return false;
    if (this->op().has_bias)
      launch<false>(FillBias<T>{this->op(), on_device(f, sizes_), t0, t1}, this->op().y.work(f, steps));
    start(g, x_, a_, y_);
    return true;
  }

  // dX += dY A
  bool product_x(const GradFrame<T>& f, int64_t t0, int64_t t1) const {
    const int64_t steps = t1 - t0, rows = steps * f.adjoint.batch;
    Gemm<T> g{rows, n_, m_, y_.at(f.adjoint, t0, 0), a_.at(f.value, t0, 0), x_.at(f.adjoint, t0, 0)};
    g.a_row = distance(f.adjoint, y_, steps), g.b_row = a_row_, g.c_row = distance(f.adjoint, x_, steps);
    g.b_turned = by_columns_, g.add = true, g.tf32 = f.adjoint.tf32;
    if (!asks_for(g, y_, a_, x_, !this->op().x.start, rows)) return false;
    start(g, y_, a_, x_);
    return true;
  }

  // dA += dY^T X, or of A by columns: dA^T += X^T dY
  bool product_a(const GradFrame<T>& f, int64_t t0, int64_t t1) const {
    const int64_t steps = t1 - t0, rows = steps * f.adjoint.batch;
    const T* const x = x_.at(f.value, t0, 0);
    const T* const dy = y_.at(f.adjoint, t0, 0);
    const int64_t x_row = distance(f.value, x_, steps), y_row = distance(f.adjoint, y_, steps);
    const View &left = by_columns_ ? x_ : y_, &right = by_columns_ ? y_ : x_;
    Gemm<T> g{by_columns_ ? n_ : m_, by_columns_ ? m_ : n_, rows};
    g.a = by_columns_ ? x : dy, g.b = by_columns_ ? dy : x, g.c = a_.at(f.adjoint, t0, 0);
    g.a_row = by_columns_ ? x_row : y_row, g.b_row = by_columns_ ? y_row : x_row, g.c_row = a_row_;
    g.a_turned = g.add = true, g.tf32 = f.adjoint.tf32;
    if (!asks_for(g, left, right, a_, !this->op().a.start, rows)) return false;
    start(g, left, right, a_);
    return true;
  }

  // Whether cuBLAS is to make the products of all blocks, together if their results are `apart` and all lie at one
  // distance.
  bool asks_for(Gemm<T>& g, const View& a, const View& b, const View& c, bool apart, int64_t rows) const {
    if (!possible_ || rows < 2) return false;
    g.a_at = block_distance(a), g.b_at = block_distance(b), g.c_at = block_distance(c);
    if (apart && g.a_at >= 0 && g.b_at >= 0 && g.c_at >= 0) g.count = a.blocks;
    constexpr int64_t kRows = 16, kMatrix = 1024, kWork = 1 << 18;  // less is done by phases before cuBLAS has begun
    // a gradient of weights is a sum over many rows, which pays for a matrix of one element, too
    const bool long_sums = g.a_turned && rows >= kMatrix && a.blocks <= 4 * g.count;
    const bool pays = long_sums || (rows >= kRows && m_ * n_ >= kMatrix && rows * m_ * n_ >= kWork / g.count);
    return (pays || always_) && takes(g) && has_gemm();
  }

  void start(Gemm<T> g, const View& a, const View& b, const View& c) const {
    const Gemm<T> first = g;
    for (int64_t k = 0; k < a.blocks; k += g.count) {
      g.a = first.a + a.offsets[k], g.b = first.b + b.offsets[k], g.c = first.c + c.offsets[k];
      gemm(g);
    }
  }

  const FrameSizes sizes_;
  const View a_, x_, y_;  // with the record's offsets, on the host
  const int64_t m_, n_;
  int64_t a_row_;  // from a row of A to the next, or from column to column
  bool by_columns_, possible_, always_, in_loop_ = false;
};

template <class T>
std::unique_ptr<Kernel<T>> make(const OpRecord& record, const Program& program) {
  return std::make_unique<DenseKernel<T>>(record, program);
}

[[maybe_unused]] const bool added = [] {
  device_backend().add_kernel("dense", {make<float>, make<double>});
  return true;
}();

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
