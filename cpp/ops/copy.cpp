// fill, copy (whole or by index lists) and elementwise products.
#include <algorithm>

#include "engine/backend.h"
#include "engine/kind.h"
#include "engine/op_util.h"
#include "kernels/dense_kernels.h"
#include "ops/adjoint.h"
#include "ops/rows.h"

namespace nengo_dl {
namespace {

constexpr int64_t kEnough = 8;  // elements side by side for which a sum over rows goes row by row

// ---------------------------------------------------------------- fill

template <class T>
class FillKernel : public Kernel<T> {
 public:
  FillKernel(const OpRecord& op, const Program&)
      : dst_(op.arg("dst")),
        values_(op.per_block("value")),
        same_(all_equal(values_)),
        nest_(make_nest({&op.arg("dst")})) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const Rows<T> rows[1] = {{f, dst_, t0}};
    if (same_)
      return each_run(rows, t1 - t0, f.batch, nest_,
                      [value = static_cast<T>(values_[0])](T* const* p, const int64_t* s, int64_t n) {
                        if (s[0] == 1)
                          std::fill_n(p[0], n, value);
                        else
                          for (int64_t i = 0; i < n; ++i) p[0][i * s[0]] = value;
                      });
    for (int64_t t = t0; t < t1; ++t)
      for (int64_t b = 0; b < f.batch; ++b)
        for (int64_t k = 0; k < dst_.blocks; ++k)
          for_each_element(
              dst_, [&, dst = dst_.at(f, t, b) + dst_.offsets[k]](int64_t e) { dst[e] = static_cast<T>(values_[k]); });
  }

 private:
  View dst_;
  std::vector<double> values_;
  bool same_;
  Nest nest_;
};

Kind fill_kind() {
  Kind k{"fill", {{"dst", Access::write}}, {{"value", AttrType::number, true}}};
  k.lanes = true;
  return k;
}

const KindRegistration fill(fill_kind());
const CpuKernel<FillKernel> fill_kernel("fill");

// ---------------------------------------------------------------- copy

bool has_lists(const OpRecord& op) { return op.has("src_index") || op.has("dst_index"); }

template <class T>
class CopyKernel : public Kernel<T> {
 public:
  CopyKernel(const OpRecord& op, const Program& p)
      : src_(op.arg("src")),
        dst_(op.arg("dst")),
        set_(op.set()),
        lists_(has_lists(op)),
        shared_(in_param(op.arg("src"), p)) {
    if (!lists_) {
      Operand src = op.arg("src"), dst = op.arg("dst");
      if (src.shape.empty()) src.shape = {1}, src.strides = {0};
      if (dst.shape.empty()) dst.shape = {1}, dst.strides = {0};
      nest_ = make_nest({&src, &dst});
      return;
    }
    from_ = element_offsets(op, "src_index", op.arg("src"));
    to_ = element_offsets(op, "dst_index", op.arg("dst"));
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    if (!lists_) {
      const Rows<T> rows[2] = {{f, src_, t0}, {f, dst_, t0}};
      return each_run(rows, t1 - t0, f.batch, nest_,
                      [this](T* const* p, const int64_t* s, int64_t n) { kernel_(p[0], s[0], p[1], s[1], n, set_); });
    }
    for (int64_t t = t0; t < t1; ++t)
      for (int64_t b = 0; b < f.batch; ++b)
        for (int64_t k = 0; k < src_.blocks; ++k)
          by_lists(src_.at(f, t, b) + src_.offsets[k], dst_.at(f, t, b) + dst_.offsets[k]);
  }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (!shared_) back(f.adjoint, t0, t1, f.unset[src_.buffer]);
  }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (shared_) back(f.adjoint, t0, t1);
  }
  bool sets(int64_t) const override { return !lists_; }

 private:
  void back(const Frame<T>& f, int64_t t0, int64_t t1, bool set = false) const {
    if (!f.base[src_.buffer] || !f.base[dst_.buffer]) return;
    if (!lists_) {
      const Rows<T> rows[2] = {{f, src_, t0}, {f, dst_, t0}};
      const auto add = [this, set](T* const* p, const int64_t* s, int64_t n) {
        if (s[0] == 0)
          *p[0] += dot_(&kOne, 0, p[1], s[1], n);
        else
          kernel_(p[1], s[1], p[0], s[0], n, set);
      };
      return each_run(rows, t1 - t0, f.batch, nest_, add, kEnough);
    }
    for (int64_t t = t0; t < t1; ++t)
      for (int64_t b = 0; b < f.batch; ++b)
        for (int64_t k = 0; k < src_.blocks; ++k) {
          T* src = src_.at(f, t, b) + src_.offsets[k];
          const T* dst = dst_.at(f, t, b) + dst_.offsets[k];
          for (size_t i = 0; i < to_.size(); ++i) src[from_[i]] += dst[to_[i]];
        }
  }

  static std::vector<int64_t> element_offsets(const OpRecord& op, const char* key, const Operand& o) {
    std::vector<int64_t> at;
    if (op.has(key))
      at = op.integers(key);
    else
      for (int64_t i = 0; i < o.count(); ++i) at.push_back(i);
    for (int64_t& i : at) i *= o.strides.empty() ? 0 : o.strides[0];
    return at;
  }

  void by_lists(const T* src, T* dst) const {
    if (set_)
      for (size_t i = 0; i < to_.size(); ++i) dst[to_[i]] = src[from_[i]];
    else
      for (size_t i = 0; i < to_.size(); ++i) dst[to_[i]] += src[from_[i]];
  }

  View src_, dst_;
  bool set_, lists_, shared_;  // shared_: src is in a param buffer
  static constexpr T kOne = 1;
  Nest nest_;
  std::vector<int64_t> from_, to_;
  void (*kernel_)(const T*, int64_t, T*, int64_t, int64_t, bool) = NDL_PICK_TYPED(T, vec_copy);
  T (*dot_)(const T*, int64_t, const T*, int64_t, int64_t) = NDL_PICK_TYPED(T, vec_dot);
};

void check_list(const OpRecord& op, const char* key, int64_t size) {
  for (int64_t i : op.integers(key))
    if (i < 0 || i >= size)
      op.fail("attribute '" + std::string(key) + "': expected 0 to " + std::to_string(size - 1) + ", got " +
              std::to_string(i));
}

void check_copy(const OpRecord& op, const Program&) {
  const Operand &src = op.arg("src"), &dst = op.arg("dst");
  if (!has_lists(op)) {
    if (!same_shape(src, dst))
      op.fail("expected equal shapes, got " + shape_text(src.shape) + " for 'src' and " + shape_text(dst.shape) +
              " for 'dst'");
    return;
  }
  if (src.shape.size() > 1 || dst.shape.size() > 1) op.fail("with index lists 'src' and 'dst' have rank 1");
  int64_t from = src.count(), to = dst.count();
  if (op.has("src_index")) check_list(op, "src_index", from), from = op.integers("src_index").size();
  if (op.has("dst_index")) {
    check_list(op, "dst_index", to);
    std::vector<int64_t> sorted = op.integers("dst_index");
    to = sorted.size();
    std::sort(sorted.begin(), sorted.end());
    if (op.set() && std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
      op.fail("'dst_index' repeats an index, which only an increment (set=0) may");
  }
  if (from != to)
    op.fail("expected as many elements to write as to take, got " + std::to_string(to) + " and " +
            std::to_string(from));
}

Kind copy_kind() {
  Kind k{"copy", {{"src", Access::read}, {"dst", Access::inc}}};
  k.attrs = {kSet, {"src_index", AttrType::integers, false, true}, {"dst_index", AttrType::integers, false, true}};
  k.settable = "dst", k.elements = "dst_index";
  k.lanes = true;
  k.gradient = Gradient::exact;
  k.check = check_copy;
  return k;
}

const KindRegistration copy(copy_kind());
const CpuKernel<CopyKernel> copy_kernel("copy");

// ---------------------------------------------------------------- elementwise

template <class T>
class ElementwiseKernel : public Kernel<T> {
 public:
  ElementwiseKernel(const OpRecord& op, const Program& p)
      : a_(op.arg("A")),
        x_(op.arg("X")),
        y_(op.arg("Y")),
        set_(op.set()),
        shared_a_(in_param(op.arg("A"), p)),
        shared_x_(in_param(op.arg("X"), p)) {
    Operand all[3] = {op.arg("A"), op.arg("X"), op.arg("Y")};
    for (Operand& o : all)
      if (o.shape.empty()) o.shape = {1}, o.strides = {0};
    nest_ = make_nest({&all[0], &all[1], &all[2]});
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const Rows<T> rows[3] = {{f, a_, t0}, {f, x_, t0}, {f, y_, t0}};
    each_run(rows, t1 - t0, f.batch, nest_, [this](T* const* p, const int64_t* s, int64_t n) {
      if (s[1] == 0 && s[0] != 0)
        kernel_(p[1], s[1], p[0], s[0], p[2], s[2], n, set_);  // the scalar goes first
      else
        kernel_(p[0], s[0], p[1], s[1], p[2], s[2], n, set_);
    });
  }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::values); }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::params); }

 private:
  void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass) const {
    if (!f.adjoint.base[y_.buffer]) return;
    const bool params = pass == Pass::params;
    if (f.adjoint.base[a_.buffer] && shared_a_ == params) add<0>(f, t0, t1);
    if (f.adjoint.base[x_.buffer] && shared_x_ == params) add<1>(f, t0, t1);
  }

  // A (0) or X (1) gets the other one times the adjoint of Y.
  template <int To>
  void add(const GradFrame<T>& g, int64_t t0, int64_t t1) const {
    constexpr int kOther = 1 - To;
    const Frame<T>&f = g.adjoint, &v = g.value;
    const Rows<T> rows[3] = {{To == 0 ? f : v, a_, t0}, {To == 1 ? f : v, x_, t0}, {f, y_, t0}};
    const auto product = [this](T* const* p, const int64_t* s, int64_t n) {
      if (s[To] == 0)
        *p[To] += dot_(p[kOther], s[kOther], p[2], s[2], n);
      else
        kernel_(p[kOther], s[kOther], p[2], s[2], p[To], s[To], n, false);
    };
    each_run(rows, t1 - t0, f.batch, nest_, product, kEnough);
  }

  View a_, x_, y_;
  bool set_, shared_a_, shared_x_;  // shared: in a param buffer
  Nest nest_;
  void (*kernel_)(const T*, int64_t, const T*, int64_t, T*, int64_t, int64_t, bool) = NDL_PICK_TYPED(T, vec_mul);
  T (*dot_)(const T*, int64_t, const T*, int64_t, int64_t) = NDL_PICK_TYPED(T, vec_dot);
};

void check_elementwise(const OpRecord& op, const Program&) {
  const Operand &a = op.arg("A"), &x = op.arg("X"), &y = op.arg("Y");
  if (!same_shape(a, y) || !same_shape(x, y) || y.shape.size() > 2)
    op.fail("expected equal shapes of rank 2 at most (broadcast by stride 0), got " + shape_text(a.shape) + ", " +
            shape_text(x.shape) + " and " + shape_text(y.shape) + " for 'A', 'X' and 'Y'");
}

Kind elementwise_kind() {
  Kind k{"elementwise", {{"A", Access::read}, {"X", Access::read}, {"Y", Access::inc}}, {kSet}};
  k.settable = "Y";
  k.lanes = true;
  k.gradient = Gradient::exact;
  k.reads = {"A", "X"};
  k.check = check_elementwise;
  return k;
}

const KindRegistration elementwise(elementwise_kind());
const CpuKernel<ElementwiseKernel> elementwise_kernel("elementwise");

}  // namespace
}  // namespace nengo_dl
