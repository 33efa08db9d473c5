// `lowpass`: y = a y + b x. `filter`: a linear system of any order, as Nengo's LinearFilter steps it.
#include "kernels/filters.h"

#include <algorithm>
#include <optional>

#include "engine/backend.h"
#include "engine/kind.h"
#include "ops/adjoint.h"
#include "ops/filter.h"
#include "ops/util.h"

namespace nengo_dl {
namespace {

void check_lowpass(const OpRecord& op, const Program&) {
  need_shape(op, "y", {op.arg("x").count()});
  need_shape(op, "x", {op.arg("x").count()});
}

template <class T>
class LowpassKernel : public Kernel<T> {
 public:
  LowpassKernel(const OpRecord& op, const Program& p)
      : x_(op.arg("x")),
        y_(op.arg("y")),
        constant_(in_param(op.arg("x"), p)),
        a_(op.per_block("a")),
        b_(op.per_block("b")),
        run_(NDL_PICK_TYPED(T, lowpass)),
        grad_(NDL_PICK_TYPED(T, lowpass_grad)) {
    runs_ = make_runs({&op.arg("x"), &op.arg("y")}, op.blocks,
                      [&](int64_t k) { return a_[k] == a_[k - 1] && b_[k] == b_[k - 1]; });
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    LowpassCall<T> c{};
    c.steps = t1 - t0;
    c.x_row = f.row[x_.buffer];
    c.y_row = c.old = old_row(f, y_);
    for (int64_t b = 0; b < f.batch; b++) {
      const T* x = x_.at(f, t0, b);
      T* y = y_.at(f, t0, b);
      for (const Run& run : runs_) {
        c.n = run.n;
        c.a = static_cast<T>(a_[run.block]);
        c.b = static_cast<T>(b_[run.block]);
        c.x = x + run.offset[0];
        c.y = y + run.offset[1];
        c.x_stride = run.stride[0];
        c.y_stride = run.stride[1];
        run_(c);
      }
    }
  }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (!f.adjoint.base[y_.buffer]) return;
    LowpassGradCall<T> c{};
    c.steps = t1 - t0;
    c.x_row = f.adjoint.row[x_.buffer];
    c.y_row = old_row(f.adjoint, y_);
    for (int64_t b = 0; b < f.adjoint.batch; b++) {
      T* dx = constant_ ? nullptr : adjoint_at(f, x_, t1 - 1, b);
      T* dy = y_.at(f.adjoint, t1 - 1, b);
      for (const Run& run : runs_) {
        c.n = run.n;
        c.a = static_cast<T>(a_[run.block]);
        c.b = static_cast<T>(b_[run.block]);
        c.dx = dx ? dx + run.offset[0] : nullptr;
        c.dy = dy + run.offset[1];
        c.x_stride = run.stride[0];
        c.y_stride = run.stride[1];
        grad_(c);
      }
    }
  }

  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (!constant_ || !f.adjoint.base[x_.buffer] || !f.adjoint.base[y_.buffer]) return;
    for (int64_t t = t1; t-- > t0;)
      for (int64_t b = 0; b < f.adjoint.batch; b++)
        for (const Run& run : runs_) {
          T* dx = x_.at(f.adjoint, t, b) + run.offset[0];
          const T* dy = y_.at(f.adjoint, t, b) + run.offset[1];
          const T weight = static_cast<T>(b_[run.block]);
          for (int64_t i = 0; i < run.n; i++) dx[i * run.stride[0]] += weight * dy[i * run.stride[1]];
        }
  }

 private:
  View x_, y_;
  bool constant_;  // x is in a param buffer
  std::vector<double> a_, b_;
  std::vector<Run> runs_;
  void (*run_)(const LowpassCall<T>&);
  void (*grad_)(const LowpassGradCall<T>&);
};

void check_filter(const OpRecord& op, const Program&) {
  const int64_t n = op.arg("x").count(), order = static_cast<int64_t>(op.numbers("B").size());
  need_shape(op, "x", {n});
  need_shape(op, "y", {n});
  check_flag(op, "direct");
  const auto need_values = [&](const char* key, size_t size) {
    if (op.numbers(key).size() != size)
      op.fail(std::string("attribute '") + key + "': expected " + std::to_string(size) + " values for order " +
              std::to_string(order) + ", got " + std::to_string(op.numbers(key).size()));
  };
  if (order > 1024) op.fail("order: expected 1024 at most, got " + std::to_string(order));
  need_values("A", order * order);
  need_values("C", order);
  need_values("D", 1);
  if (order > 0)
    need_shape(op, "X", {order, n});
  else if (op.find_arg("X") && op.arg("X").count() != 0)
    op.fail("a filter of order 0 has no 'X'");
}

template <class T>
class FilterKernel : public Kernel<T> {
 public:
  FilterKernel(const OpRecord& op, const Program& p)
      : x_(op.arg("x")),
        y_(op.arg("y")),
        constant_(in_param(op.arg("x"), p)),
        n_(op.arg("x").count()),
        run_(NDL_PICK_TYPED(T, filter)),
        grad_(NDL_PICK_TYPED(T, filter_grad)) {
    A_ = cast(op.numbers("A"));
    B_ = cast(op.numbers("B"));
    C_ = cast(op.numbers("C"));
    D_ = static_cast<T>(op.number("D"));
    direct_ = op.integer("direct") != 0;
    const FilterOutput output(op);
    E_ = cast(output.E);
    F_ = static_cast<T>(output.F);
    if (!B_.empty()) X_ = View(op.arg("X"));
    std::vector<const Operand*> flat{&op.arg("x"), &op.arg("y")};
    Operand row;
    if (X_) {  // rows of X are joined like x and y, if the distance of the rows allows it
      row = op.arg("X");
      row_stride_ = order() > 1 ? row.strides[0] : 0;
      row.shape = {n_};
      row.strides = {op.arg("X").strides[1]};
      flat.push_back(&row);
    }
    runs_ = make_runs(flat, op.blocks, [](int64_t) { return true; });
    for (const Run& run : runs_) longest_ = std::max(longest_, run.n);
    for (const Run& run : runs_)
      for (int64_t s : run.stride) unit_ = unit_ && s == 1;
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    T* packed = unit_ ? nullptr : scratch<T>(this->packed());
    for (int64_t b = 0; b < f.batch; b++)
      for (const Run& run : runs_)
        for (int64_t t = t0; t < t1; t++) step(f, t, b, run, packed);
  }

  int64_t room() const override { return unit_ ? 0 : packed(); }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::values); }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (constant_ && f.adjoint.base[x_.buffer]) back(f, t0, t1, Pass::params);
  }

 private:
  int64_t order() const { return static_cast<int64_t>(B_.size()); }
  int64_t packed() const { return longest_ * (2 * order() + 2); }  // elements
  static std::vector<T> cast(const std::vector<double>& v) { return std::vector<T>(v.begin(), v.end()); }

  FilterCall<T> call(const Run& run) const {
    FilterCall<T> c{};
    c.n = run.n;
    c.order = order();
    c.A = A_.data(), c.B = B_.data(), c.C = C_.data(), c.D = D_;
    c.direct = direct_;
    return c;
  }

  void step(const Frame<T>& f, int64_t t, int64_t b, const Run& run, T* packed) const {
    FilterCall<T> c = call(run);
    const T* x = x_.at(f, t, b) + run.offset[0];
    T* y = y_.at(f, t, b) + run.offset[1];
    T* X = !X_ ? nullptr : X_->at(f, t, b) + run.offset[2];
    const T* old = X ? X - old_row(f, *X_) : nullptr;
    if (unit_ && (!X || old != X || order() == 1)) {
      c.x = x, c.y = y, c.old = old, c.now = X;
      c.old_stride = c.now_stride = row_stride_;
      return run_(c);
    }
    if (unit_) return step_in_place(c, x, y, X);
    const int64_t n = run.n;
    c.x = packed, c.y = packed + n, c.old = packed + 2 * n, c.now = packed + (2 + order()) * n;
    c.old_stride = c.now_stride = n;
    for (int64_t i = 0; i < n; i++) packed[i] = x[i * run.stride[0]];
    for (int64_t k = 0; k < order(); k++)
      for (int64_t i = 0; i < n; i++) packed[(2 + k) * n + i] = old[k * row_stride_ + i * run.stride[2]];
    run_(c);
    for (int64_t i = 0; i < n; i++) y[i * run.stride[1]] = c.y[i];
    for (int64_t k = 0; k < order(); k++)
      for (int64_t i = 0; i < n; i++) X[k * row_stride_ + i * run.stride[2]] = c.now[k * n + i];
  }

  // The old X is needed until all of the new one is known: work on pieces that fit on the stack.
  void step_in_place(FilterCall<T> c, const T* x, T* y, T* X) const {
    constexpr int64_t kStack = 4096;
    T piece[kStack];
    const int64_t width = std::max<int64_t>(1, kStack / order());
    const int64_t n = c.n;
    for (int64_t i = 0; i < n; i += width) {
      c.n = std::min(width, n - i);
      for (int64_t k = 0; k < order(); k++) std::memcpy(piece + k * c.n, X + k * row_stride_ + i, c.n * sizeof(T));
      c.x = x + i, c.y = y + i, c.old = piece, c.now = X + i;
      c.old_stride = c.n, c.now_stride = row_stride_;
      run_(c);
    }
  }

  void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass) const {
    T* packed = scratch<T>(this->packed());
    for (int64_t b = 0; b < f.adjoint.batch; b++)
      for (const Run& run : runs_)
        for (int64_t t = t1; t-- > t0;) step_back(f, t, b, run, pass, packed);
  }

  // Adjoints that the kernel can't take as they lie go by way of `packed`: dx, dy, old X, new X.
  void step_back(const GradFrame<T>& f, int64_t t, int64_t b, const Run& run, Pass pass, T* packed) const {
    const int64_t n = run.n;
    T* dx = constant_ == (pass == Pass::params) ? adjoint_at(f, x_, t, b) : nullptr;
    const T* dy = adjoint_at(f, y_, t, b);
    T* X = !X_ ? nullptr : adjoint_at(f, *X_, t, b);
    if (dx) dx += run.offset[0];
    if (dy) dy += run.offset[1];
    if (X) X += run.offset[2];
    const int64_t row = X ? old_row(f.adjoint, *X_) : 0;
    FilterGradCall<T> c{};
    c.n = n, c.order = order();
    c.A = A_.data(), c.B = B_.data(), c.E = E_.data(), c.F = F_;
    c.dy = dy, c.dx = dx, c.next = X, c.old = X && pass == Pass::values ? X - row : nullptr;
    c.next_stride = c.old_stride = row_stride_;
    c.add_x = true, c.add_old = row != 0;
    if (dx && run.stride[0] != 1) c.dx = packed, c.add_x = false;
    if (dy && run.stride[1] != 1) {
      c.dy = packed + n;
      for (int64_t i = 0; i < n; i++) packed[n + i] = dy[i * run.stride[1]];
    }
    const bool pack = X && (run.stride[2] != 1 || row == 0);
    if (pack) {
      T* next = packed + (2 + order()) * n;
      c.next = next, c.next_stride = n;
      for (int64_t k = 0; k < order(); k++)
        for (int64_t i = 0; i < n; i++) next[k * n + i] = X[k * row_stride_ + i * run.stride[2]];
      if (c.old) c.old = packed + 2 * n, c.old_stride = n, c.add_old = false;
    }
    grad_(c);
    if (dx && c.dx != dx)
      for (int64_t i = 0; i < n; i++) dx[i * run.stride[0]] += c.dx[i];
    if (!pack || !c.old) return;
    for (int64_t k = 0; k < order(); k++)
      for (int64_t i = 0; i < n; i++) {
        T& old = (X - row)[k * row_stride_ + i * run.stride[2]];
        old = (row ? old : T(0)) + c.old[k * n + i];
      }
  }

  View x_, y_;
  std::optional<View> X_;  // none if the order is 0
  bool constant_;          // x is in a param buffer
  int64_t n_, row_stride_ = 0, longest_ = 0;
  std::vector<T> A_, B_, C_, E_;
  T D_, F_;
  bool direct_, unit_ = true;
  std::vector<Run> runs_;
  void (*run_)(const FilterCall<T>&);
  void (*grad_)(const FilterGradCall<T>&);
};

Kind lowpass_kind() {
  Kind k{"lowpass", {{"x", Access::read}, {"y", Access::update}}};
  k.attrs = {{"a", AttrType::number, true}, {"b", AttrType::number, true}};
  k.lanes = true;
  k.gradient = Gradient::exact;
  k.check = check_lowpass;
  return k;
}

Kind filter_kind() {
  Kind k{"filter",
         {{"x", Access::read}, {"y", Access::write, -1, false, false}, {"X", Access::update, 2, true}},
         {{"A", AttrType::numbers},
          {"B", AttrType::numbers},
          {"C", AttrType::numbers},
          {"D", AttrType::numbers},
          {"direct", AttrType::integer}}};
  k.gradient = Gradient::exact;
  k.check = check_filter;
  return k;
}

const KindRegistration lowpass(lowpass_kind()), filter(filter_kind());
const CpuKernel<LowpassKernel> lowpass_kernel("lowpass");
const CpuKernel<FilterKernel> filter_kernel("filter");

}  // namespace
}  // namespace nengo_dl
