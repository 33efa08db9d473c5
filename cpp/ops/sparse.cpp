// Sparse products: `sparse` (compressed rows) and `bsr` (compressed rows of dense blocks).
#include "engine/backend.h"
#include "engine/kind.h"
#include "ops/adjoint.h"
#include "ops/columns.h"
#include "ops/finite.h"
#include "ops/sparse_items.h"

namespace nengo_dl {
namespace {

// indptr ascends from 0 to `entries`, with one more value than there are rows; every index is below `columns`.
void check_structure(const OpRecord& op, int64_t rows, int64_t columns, int64_t entries) {
  const std::vector<int64_t>&indices = op.integers("indices"), &indptr = op.integers("indptr");
  if (static_cast<int64_t>(indices.size()) != entries)
    op.fail("attribute 'indices': expected " + std::to_string(entries) + " values (one per entry of 'A'), got " +
            std::to_string(indices.size()));
  if (static_cast<int64_t>(indptr.size()) != rows + 1)
    op.fail("attribute 'indptr': expected " + std::to_string(rows + 1) + " values (rows + 1), got " +
            std::to_string(indptr.size()));
  for (int64_t i = 0; i < rows; i++)
    if (indptr[i + 1] < indptr[i]) op.fail("attribute 'indptr' falls at " + std::to_string(i + 1));
  if (indptr.front() != 0 || indptr.back() != entries)
    op.fail("attribute 'indptr': expected values from 0 to " + std::to_string(entries) + ", got " +
            std::to_string(indptr.front()) + " to " + std::to_string(indptr.back()));
  for (int64_t column : indices)
    if (column < 0 || column >= columns)
      op.fail("attribute 'indices': expected 0 to " + std::to_string(columns - 1) + ", got " + std::to_string(column));
}

// What both kinds have in common on the way back: A and X, each in a param buffer or not.
template <class T, class Product>
class SparseGrad {
 public:
  SparseGrad(const OpRecord& op, const Program& p)
      : shared_a_(in_param(op.arg("A"), p)), shared_x_(in_param(op.arg("X"), p)) {}

  struct Wanted {
    bool a, x;
  };
  Wanted wanted(const GradFrame<T>& f, Pass pass, const View& A, const View& X, const View& Y) const {
    const bool any = f.adjoint.base[Y.buffer], params = pass == Pass::params;
    return {any && f.adjoint.base[A.buffer] && shared_a_ == params,
            any && f.adjoint.base[X.buffer] && shared_x_ == params};
  }
  bool shared_a() const { return shared_a_; }

  // product.each(f): f(row, entry of A, column) as element offsets, for every entry.
  void add(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass, const View& A, const View& X, const View& Y,
           const Product& product) const {
    const auto [a, x] = wanted(f, pass, A, X, Y);
    if (!a && !x) return;
    for (int64_t t = t0; t < t1; t++)
      for (int64_t b = 0; b < f.adjoint.batch; b++) {
        const T* dY = Y.at(f.adjoint, t, b) + Y.offsets[0];
        if (a) {
          const T* X_now = X.at(f.value, t, b) + X.offsets[0];
          T* dA = A.at(f.adjoint, t, b) + A.offsets[0];
          product.each([&](int64_t row, int64_t entry, int64_t column) { dA[entry] += dY[row] * X_now[column]; });
        }
        if (x) {
          const T* A_now = A.at(f.value, t, b) + A.offsets[0];
          T* dX = X.at(f.adjoint, t, b) + X.offsets[0];
          product.each([&](int64_t row, int64_t entry, int64_t column) { dX[column] += dY[row] * A_now[entry]; });
        }
      }
  }

 private:
  bool shared_a_, shared_x_;
};

// ---------------------------------------------------------------- sparse

void check_sparse(const OpRecord& op, const Program&) {
  const int64_t entries = op.arg("A").count(), n = op.arg("X").count(), m = op.arg("Y").count();
  need_shape(op, "A", {entries});
  need_shape(op, "X", {n});
  need_shape(op, "Y", {m});
  if (n > INT32_MAX) op.fail("expected at most 2^31 - 1 columns, got " + std::to_string(n));
  check_structure(op, m, n, entries);
}

void cut_rows(const OpRecord& op, int64_t first, int64_t count, OpRecord* part) {
  const std::vector<int64_t>&indices = op.integers("indices"), &indptr = op.integers("indptr");
  const int64_t begin = indptr[first], end = indptr[first + count];
  for (auto& [name, attr] : part->attrs) {
    if (name == "indices") attr = std::vector<int64_t>(indices.begin() + begin, indices.begin() + end);
    if (name != "indptr") continue;
    std::vector<int64_t> starts(indptr.begin() + first, indptr.begin() + first + count + 1);
    for (int64_t& start : starts) start -= begin;
    attr = std::move(starts);
  }
  for (auto& [name, o] : part->args)
    if (name == "A" && !o.shape.empty()) o.offsets[0] += begin * o.strides[0], o.shape[0] = end - begin;
}

template <class T>
class SparseKernel : public Kernel<T> {
 public:
  SparseKernel(const OpRecord& op, const Program& p)
      : A_(op.arg("A")),
        X_(op.arg("X")),
        Y_(op.arg("Y")),
        set_(op.set()),
        a_size_(p.buffers[A_.buffer].size),
        column_(op.integers("indices").begin(), op.integers("indices").end()),
        start_(op.integers("indptr")),
        contiguous_(side_by_side(A_) && side_by_side(X_) && side_by_side(Y_)),
        columns_(in_param(op.arg("A"), p) ? Columns(start_, op.integers("indices"), X_.count(), kSparseChains)
                                          : Columns()),
        grad_(op, p) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const int64_t in = stride_of(X_, 0);
    // increments that come together in one place come in their order
    const int64_t together = pays(f.row[Y_.buffer] || t1 - t0 == 1, (t1 - t0) * f.batch);
    SparseItems<T> items(rows_, together, start_, column_, X_.count(), set_);
    for (int64_t t = t0; t < t1; t++)
      for (int64_t b = 0; b < f.batch; b++) {
        T* A = A_.at(f, t, b) + A_.offsets[0];
        T* X = X_.at(f, t, b) + X_.offsets[0];
        T* Y = Y_.at(f, t, b) + Y_.offsets[0];
        const Columns::Fired fired = columns_.few(X, in, 1, together);
        const bool skips = fired.count >= 0 && all_finite(f, A_.buffer, a_size_, (t1 - t0) * f.batch);
        if (skips && by_columns(fired, A, columns_.by_place(f.reordered[A_.buffer], A, stride_of(A_, 0)), X, Y))
          continue;
        contiguous_ ? items.add(A, X, Y) : by_rows(A, X, Y);
      }
    items.finish();
  }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::values); }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::params); }

  template <class F>
  void each(F&& f) const {
    const int64_t step = stride_of(A_, 0), in = stride_of(X_, 0), out = stride_of(Y_, 0);
    for (int64_t i = 0; i < rows(); i++)
      for (int64_t k = start_[i]; k < start_[i + 1]; k++) f(i * out, k * step, column_[k] * in);
  }

 private:
  static bool side_by_side(const View& o) { return o.count() == 1 || o.strides[0] == 1; }
  int64_t rows() const { return static_cast<int64_t>(start_.size()) - 1; }

  // How many items to take together, of `count` that have the same weights: lines of columns that hardly an entry is in
  // cost more than they save.
  int64_t pays(bool distinct, int64_t count) const {
    constexpr int64_t kColumns = 2;  // for each entry
    const bool lines = contiguous_ && grad_.shared_a() && X_.count() <= kColumns * A_.count();
    return lines && distinct ? std::min<int64_t>(count, kSparseItems) : 1;
  }

  void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass) const {
    if (!contiguous_) return grad_.add(f, t0, t1, pass, A_, X_, Y_, *this);
    const auto [a, x] = grad_.wanted(f, pass, A_, X_, Y_);
    const int64_t count = (t1 - t0) * f.adjoint.batch;
    const bool distinct = f.adjoint.item[X_.buffer] && (f.adjoint.row[X_.buffer] || t1 - t0 == 1);
    if (a) back(outer_, pays(true, count), f, f.adjoint, f.value, t0, t1);
    if (x) back(back_, pays(distinct, count), f, f.value, f.adjoint, t0, t1);
  }
  void back(typename SparseItems<T>::Function function, int64_t together, const GradFrame<T>& f, const Frame<T>& of_a,
            const Frame<T>& of_x, int64_t t0, int64_t t1) const {
    SparseItems<T> items(function, together, start_, column_, X_.count(), false);
    for (int64_t t = t0; t < t1; t++)
      for (int64_t b = 0; b < f.adjoint.batch; b++)
        items.add(A_.at(of_a, t, b) + A_.offsets[0], X_.at(of_x, t, b) + X_.offsets[0],
                  Y_.at(f.adjoint, t, b) + Y_.offsets[0]);
    items.finish();
  }

  void by_rows(const T* A, const T* X, T* Y) const {
    const int64_t step = stride_of(A_, 0), in = stride_of(X_, 0), out = stride_of(Y_, 0);
    for (int64_t i = 0; i < rows(); i++) {
      const int64_t end = start_[i + 1], rounds = start_[i] + (end - start_[i]) / kSparseChains * kSparseChains;
      T sums[kSparseChains] = {};
      for (int64_t k = start_[i]; k < end; k++)
        sums[k < rounds ? (k - start_[i]) % kSparseChains : 0] += A[k * step] * X[column_[k] * in];
      put(Y + i * out, (sums[0] + sums[2]) + (sums[1] + sums[3]));
    }
  }
  // False, and nothing done, if there is no memory for it.
  bool by_columns(const Columns::Fired& fired, const T* A, const T* by_place, const T* X, T* Y) const {
    const int64_t step = stride_of(A_, 0), in = stride_of(X_, 0), out = stride_of(Y_, 0);
    T* const chain = scratch_or_null<T>(kSparseChains * rows());
    if (!chain) return false;
    if (by_place && out == 1) {
      SparseColumns<T> sums = columns_.columns(fired, by_place);
      sums.x = X, sums.x_step = in, sums.chains = chain, sums.y = Y, sums.set = set_;
      sums_(sums);
      return true;
    }
    std::fill(chain, chain + kSparseChains * rows(), T(0));
    columns_.each(fired, [&](int64_t at, int64_t k, int64_t j) { chain[at] += A[k * step] * X[j * in]; });
    for (int64_t i = 0; i < rows(); i++)
      put(Y + i * out, (chain[i] + chain[2 * rows() + i]) + (chain[rows() + i] + chain[3 * rows() + i]));
    return true;
  }
  void put(T* y, T sum) const { *y = set_ ? sum : *y + sum; }

  View A_, X_, Y_;
  bool set_;
  int64_t a_size_;  // elements of the buffer
  std::vector<int32_t> column_;
  std::vector<int64_t> start_;
  bool contiguous_;  // all three, as the planner lays them out
  Columns columns_;  // of weights that no step changes
  void (*sums_)(const SparseColumns<T>&) = NDL_PICK_TYPED(T, sparse_columns);
  typename SparseItems<T>::Function rows_ = NDL_PICK_TYPED(T, sparse_rows), back_ = NDL_PICK_TYPED(T, sparse_back),
                                    outer_ = NDL_PICK_TYPED(T, sparse_outer);
  SparseGrad<T, SparseKernel> grad_;
};

// ---------------------------------------------------------------- bsr

void check_bsr(const OpRecord& op, const Program&) {
  const std::vector<int64_t>& shape = op.arg("A").shape;
  const int64_t n = op.arg("X").count(), m = op.arg("Y").count(), height = shape[1], width = shape[2];
  need_shape(op, "X", {n});
  need_shape(op, "Y", {m});
  if (height < 1 || width < 1 || m % height != 0 || n % width != 0)
    op.fail("blocks of shape (" + std::to_string(height) + ", " + std::to_string(width) + ") don't fit a matrix of (" +
            std::to_string(m) + ", " + std::to_string(n) + ")");
  check_structure(op, m / height, n / width, shape[0]);
}

template <class T>
class BsrKernel : public Kernel<T> {
 public:
  BsrKernel(const OpRecord& op, const Program& p)
      : A_(op.arg("A")),
        X_(op.arg("X")),
        Y_(op.arg("Y")),
        set_(op.set()),
        a_size_(p.buffers[A_.buffer].size),
        column_(op.integers("indices")),
        start_(op.integers("indptr")),
        columns_(in_param(op.arg("A"), p) ? Columns(start_, column_, X_.count() / A_.shape[2], 1) : Columns()),
        grad_(op, p) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const int64_t in = stride_of(X_, 0);
    for (int64_t t = t0; t < t1; t++)
      for (int64_t b = 0; b < f.batch; b++) {
        const T* A = A_.at(f, t, b) + A_.offsets[0];
        const T* X = X_.at(f, t, b) + X_.offsets[0];
        T* Y = Y_.at(f, t, b) + Y_.offsets[0];
        const Columns::Fired fired = columns_.few(X, in, A_.shape[2], 1);
        const bool skips = fired.count >= 0 && all_finite(f, A_.buffer, a_size_, (t1 - t0) * f.batch);
        if (!skips || !by_columns(fired, A, X, Y)) by_rows(A, X, Y);
      }
  }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    grad_.add(f, t0, t1, Pass::values, A_, X_, Y_, *this);
  }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    grad_.add(f, t0, t1, Pass::params, A_, X_, Y_, *this);
  }

  template <class F>
  void each(F&& f) const {
    const int64_t height = A_.shape[1], width = A_.shape[2], rows = static_cast<int64_t>(start_.size()) - 1;
    const int64_t in = stride_of(X_, 0), out = stride_of(Y_, 0);
    for (int64_t i = 0; i < rows * height; i++)
      for (int64_t k = start_[i / height]; k < start_[i / height + 1]; k++)
        for (int64_t j = 0; j < width; j++)
          f(i * out, k * A_.strides[0] + i % height * A_.strides[1] + j * A_.strides[2], (column_[k] * width + j) * in);
  }

 private:
  // Blocks of columns that hold a spike. False, and nothing done, if there is no memory for it.
  bool by_columns(const Columns::Fired& fired, const T* A, const T* X, T* Y) const {
    const int64_t height = A_.shape[1], width = A_.shape[2], rows = static_cast<int64_t>(start_.size()) - 1;
    const int64_t in = stride_of(X_, 0), out = stride_of(Y_, 0);
    T* const sum = scratch_or_null<T>(rows * height);
    if (!sum) return false;
    std::fill(sum, sum + rows * height, T(0));
    columns_.each(fired, [&](int64_t row, int64_t k, int64_t column) {
      const T *block = A + k * A_.strides[0], *x = X + column * width * in;
      for (int64_t i = 0; i < height; i++)
        for (int64_t j = 0; j < width; j++)
          sum[row * height + i] += block[i * A_.strides[1] + j * A_.strides[2]] * x[j * in];
    });
    for (int64_t i = 0; i < rows * height; i++) Y[i * out] = set_ ? sum[i] : Y[i * out] + sum[i];
    return true;
  }
  void by_rows(const T* A, const T* X, T* Y) const {
    const int64_t height = A_.shape[1], width = A_.shape[2], rows = static_cast<int64_t>(start_.size()) - 1;
    const int64_t in = stride_of(X_, 0), out = stride_of(Y_, 0);
    for (int64_t i = 0; i < rows * height; i++) {
      T sum = 0;
      for (int64_t k = start_[i / height]; k < start_[i / height + 1]; k++) {
        const T* line = A + k * A_.strides[0] + i % height * A_.strides[1];
        const T* x = X + column_[k] * width * in;
        for (int64_t j = 0; j < width; j++) sum += line[j * A_.strides[2]] * x[j * in];
      }
      Y[i * out] = set_ ? sum : Y[i * out] + sum;
    }
  }

  View A_, X_, Y_;
  bool set_;
  int64_t a_size_;  // elements of the buffer
  std::vector<int64_t> column_, start_;
  Columns columns_;  // of weights that no step changes
  SparseGrad<T, BsrKernel> grad_;
};

Kind kind(const char* name, int rank, decltype(Kind::check) check) {
  Kind k{name, {{"A", Access::read, rank}, {"X", Access::read}, {"Y", Access::inc}}};
  k.attrs = {kSet, {"indices", AttrType::integers}, {"indptr", AttrType::integers}};
  k.settable = "Y";
  k.merges = k.slices = false;
  k.gradient = Gradient::exact;
  k.reads = {"A", "X"};
  k.matrix = "A";
  k.check = std::move(check);
  return k;
}

Kind sparse_kind() {
  Kind k = kind("sparse", -1, check_sparse);
  k.rows = {"Y"}, k.cut_rows = cut_rows;
  return k;
}

const KindRegistration sparse(sparse_kind()), bsr(kind("bsr", 3, check_bsr));
const CpuKernel<SparseKernel> sparse_kernel("sparse");
const CpuKernel<BsrKernel> bsr_kernel("bsr");

}  // namespace
}  // namespace nengo_dl
