// Learning rules: pes, bcm, oja, voja, rls. Each makes the weight change `delta` (m, n) of one step.
#include "kernels/learning.h"

#include "ops/util.h"

namespace nengo_dl {
namespace {

template <class T>
struct Kernels {  // of the scalar and the current instruction set
  void (*outer)(const LearningRow<T>&);
  void (*oja)(const LearningRow<T>&);
  void (*voja)(const LearningRow<T>&);
  T (*dot)(const T*, const T*, long);
  void (*minus)(T*, const T*, T, const T*, long);
};
Kernels<float> pick(float) {
  return {NDL_PICK(outer_row32), NDL_PICK(oja_row32), NDL_PICK(voja_row32), NDL_PICK(dot32), NDL_PICK(minus_row32)};
}
Kernels<double> pick(double) {
  return {NDL_PICK(outer_row64), NDL_PICK(oja_row64), NDL_PICK(voja_row64), NDL_PICK(dot64), NDL_PICK(minus_row64)};
}

// `delta` has shape (m, n); `pre` (n), `post` (m).
void check_pair(const OpRecord& op, const char* pre, const char* post) {
  const std::vector<int64_t> shape = check_rank(op, "delta", 2);
  need_shape(op, pre, {shape[1]});
  need_shape(op, post, {shape[0]});
}

// What all rules have: a loop over steps, items and blocks, and the addresses of vectors and matrices in each.
template <class T>
class Rule : public Op<T> {
 public:
  explicit Rule(const OpRecord& op) : kernels_(pick(T())), m_(op.arg("delta").shape[0]), n_(op.arg("delta").shape[1]) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    for (int64_t t = t0; t < t1; t++)
      for (int64_t b = 0; b < f.batch; b++)
        for (size_t k = 0; k < blocks(); k++) block(f, t, b, k);
  }

 protected:
  virtual size_t blocks() const = 0;
  virtual void block(const Frame<T>& f, int64_t t, int64_t b, size_t k) const = 0;

  static Strided<T> vector(const Access1& o, const Frame<T>& f, int64_t t, int64_t b, size_t k) {
    return {o.at(f, t, b) + o.offsets[k], static_cast<long>(stride_of(o, 0))};
  }
  static Strided<T> matrix_row(const Access1& o, const Frame<T>& f, int64_t t, int64_t b, size_t k, int64_t row) {
    return {o.at(f, t, b) + o.offsets[k] + row * o.strides[0], static_cast<long>(o.strides[1])};
  }
  static T element(Strided<T> v, int64_t i) { return v.p[i * v.stride]; }
  static Strided<const T> read(Strided<T> v) { return {v.p, v.stride}; }

  Kernels<T> kernels_;
  int64_t m_, n_;
};

// ---------------------------------------------------------------- pes
// delta = outer(alpha error, pre)

void check_pes(const OpRecord& op, const Program&) {
  check_pair(op, "pre_filtered", "error");
  per_block(op, "alpha");
}

template <class T>
class PesOp : public Rule<T> {
 public:
  PesOp(const OpRecord& op, const Program&)
      : Rule<T>(op),
        pre_(op.arg("pre_filtered")),
        error_(op.arg("error")),
        delta_(op.arg("delta")),
        alpha_(per_block(op, "alpha")) {}

 private:
  size_t blocks() const override { return alpha_.size(); }
  void block(const Frame<T>& f, int64_t t, int64_t b, size_t k) const override {
    LearningRow<T> row{};
    row.n = this->n_;
    row.x = this->read(this->vector(pre_, f, t, b, k));
    const Strided<T> error = this->vector(error_, f, t, b, k);
    for (int64_t i = 0; i < this->m_; i++) {
      row.y = this->matrix_row(delta_, f, t, b, k, i);
      row.s = static_cast<T>(alpha_[k]) * this->element(error, i);
      this->kernels_.outer(row);
    }
  }

  Access1 pre_, error_, delta_;
  std::vector<double> alpha_;
};

// ---------------------------------------------------------------- bcm
// delta = outer(alpha post (post - theta), pre)

void check_bcm(const OpRecord& op, const Program&) {
  check_pair(op, "pre_filtered", "post_filtered");
  check_pair(op, "pre_filtered", "theta");
  per_block(op, "alpha");
}

template <class T>
class BcmOp : public Rule<T> {
 public:
  BcmOp(const OpRecord& op, const Program&)
      : Rule<T>(op),
        pre_(op.arg("pre_filtered")),
        post_(op.arg("post_filtered")),
        theta_(op.arg("theta")),
        delta_(op.arg("delta")),
        alpha_(per_block(op, "alpha")) {}

 private:
  size_t blocks() const override { return alpha_.size(); }
  void block(const Frame<T>& f, int64_t t, int64_t b, size_t k) const override {
    LearningRow<T> row{};
    row.n = this->n_;
    row.x = this->read(this->vector(pre_, f, t, b, k));
    const Strided<T> post = this->vector(post_, f, t, b, k), theta = this->vector(theta_, f, t, b, k);
    for (int64_t i = 0; i < this->m_; i++) {
      const T activity = this->element(post, i);
      row.y = this->matrix_row(delta_, f, t, b, k, i);
      row.s = static_cast<T>(alpha_[k]) * activity * (activity - this->element(theta, i));
      this->kernels_.outer(row);
    }
  }

  Access1 pre_, post_, theta_, delta_;
  std::vector<double> alpha_;
};

// ---------------------------------------------------------------- oja
// delta = alpha (outer(post, pre) - beta post^2 w)

void check_oja(const OpRecord& op, const Program&) {
  check_pair(op, "pre_filtered", "post_filtered");
  need_shape(op, "weights", op.arg("delta").shape);
  per_block(op, "alpha");
  per_block(op, "beta");
}

template <class T>
class OjaOp : public Rule<T> {
 public:
  OjaOp(const OpRecord& op, const Program&)
      : Rule<T>(op),
        pre_(op.arg("pre_filtered")),
        post_(op.arg("post_filtered")),
        weights_(op.arg("weights")),
        delta_(op.arg("delta")),
        alpha_(per_block(op, "alpha")),
        beta_(per_block(op, "beta")) {}

 private:
  size_t blocks() const override { return alpha_.size(); }
  void block(const Frame<T>& f, int64_t t, int64_t b, size_t k) const override {
    LearningRow<T> row{};
    row.n = this->n_;
    row.x = this->read(this->vector(pre_, f, t, b, k));
    row.forget = static_cast<T>(-beta_[k]);
    const Strided<T> post = this->vector(post_, f, t, b, k);
    for (int64_t i = 0; i < this->m_; i++) {
      const T activity = this->element(post, i);
      row.w = this->read(this->matrix_row(weights_, f, t, b, k, i));
      row.y = this->matrix_row(delta_, f, t, b, k, i);
      row.s = static_cast<T>(alpha_[k]) * activity;
      row.q = row.s * activity;
      this->kernels_.oja(row);
    }
  }

  Access1 pre_, post_, weights_, delta_;
  std::vector<double> alpha_, beta_;
};

// ---------------------------------------------------------------- voja
// delta = alpha signal (scale outer(post, pre) - post encoders)

void check_voja(const OpRecord& op, const Program&) {
  check_pair(op, "pre_decoded", "post_filtered");
  check_pair(op, "pre_decoded", "scale");
  need_shape(op, "scaled_encoders", op.arg("delta").shape);
  need_shape(op, "learning_signal", {1});
  per_block(op, "alpha");
}

template <class T>
class VojaOp : public Rule<T> {
 public:
  VojaOp(const OpRecord& op, const Program&)
      : Rule<T>(op),
        pre_(op.arg("pre_decoded")),
        post_(op.arg("post_filtered")),
        encoders_(op.arg("scaled_encoders")),
        signal_(op.arg("learning_signal")),
        scale_(op.arg("scale")),
        delta_(op.arg("delta")),
        alpha_(per_block(op, "alpha")) {}

 private:
  size_t blocks() const override { return alpha_.size(); }
  void block(const Frame<T>& f, int64_t t, int64_t b, size_t k) const override {
    LearningRow<T> row{};
    row.n = this->n_;
    row.x = this->read(this->vector(pre_, f, t, b, k));
    row.rate = static_cast<T>(alpha_[k]) * *this->vector(signal_, f, t, b, k).p;
    const Strided<T> post = this->vector(post_, f, t, b, k), scale = this->vector(scale_, f, t, b, k);
    for (int64_t i = 0; i < this->m_; i++) {
      row.w = this->read(this->matrix_row(encoders_, f, t, b, k, i));
      row.y = this->matrix_row(delta_, f, t, b, k, i);
      row.post = this->element(post, i);
      row.scale = this->element(scale, i);
      this->kernels_.voja(row);
    }
  }

  Access1 pre_, post_, encoders_, signal_, scale_, delta_;
  std::vector<double> alpha_;
};

// ---------------------------------------------------------------- rls (recursive least squares)
// P r; c = 1 / (1 + r.Pr); P -= outer(Pr, c Pr); delta = outer(error, -c Pr)

void check_rls(const OpRecord& op, const Program&) {
  check_pair(op, "pre_filtered", "error");
  const int64_t n = op.arg("delta").shape[1];
  need_shape(op, "inv_gamma", {n, n});
}

template <class T>
class RlsOp : public Rule<T> {
 public:
  RlsOp(const OpRecord& op, const Program&)
      : Rule<T>(op),
        pre_(op.arg("pre_filtered")),
        error_(op.arg("error")),
        delta_(op.arg("delta")),
        gamma_(op.arg("inv_gamma")),
        blocks_(op.blocks) {}

 private:
  size_t blocks() const override { return blocks_; }
  void block(const Frame<T>& f, int64_t t, int64_t b, size_t k) const override {
    const int64_t n = this->n_;
    T* r = scratch<T>(4 * n);  // the activities; P r; c P r; a row of P, if its elements don't lie side by side
    T *Pr = r + n, *cPr = r + 2 * n, *line = r + 3 * n;
    const Strided<T> pre = this->vector(pre_, f, t, b, k);
    for (int64_t j = 0; j < n; j++) r[j] = this->element(pre, j);
    const int64_t back = old_row(f, gamma_);
    for (int64_t i = 0; i < n; i++) Pr[i] = this->kernels_.dot(old_line(f, t, b, k, i, back, line), r, n);
    const T c = T(1) / (T(1) + this->kernels_.dot(r, Pr, n));
    for (int64_t j = 0; j < n; j++) cPr[j] = Pr[j] * c;
    for (int64_t i = 0; i < n; i++) {
      const Strided<T> now = this->matrix_row(gamma_, f, t, b, k, i);
      const bool unit = now.stride == 1;
      const T* old = old_line(f, t, b, k, i, back, line);
      this->kernels_.minus(unit ? now.p : line, old, Pr[i], cPr, n);
      for (int64_t j = 0; !unit && j < n; j++) now.p[j * now.stride] = line[j];
    }
    LearningRow<T> row{};
    row.n = n;
    row.x = {cPr, 1};
    const Strided<T> error = this->vector(error_, f, t, b, k);
    for (int64_t i = 0; i < this->m_; i++) {
      row.y = this->matrix_row(delta_, f, t, b, k, i);
      row.s = -this->element(error, i);
      this->kernels_.outer(row);
    }
  }

  const T* old_line(const Frame<T>& f, int64_t t, int64_t b, size_t k, int64_t i, int64_t back, T* line) const {
    const Strided<T> now = this->matrix_row(gamma_, f, t, b, k, i);
    if (now.stride == 1) return now.p - back;
    for (int64_t j = 0; j < this->n_; j++) line[j] = now.p[j * now.stride - back];
    return line;
  }

  Access1 pre_, error_, delta_, gamma_;
  size_t blocks_;
};

// ---------------------------------------------------------------- registration

const ArgSpec pre{"pre_filtered", Access::read, -1}, post{"post_filtered", Access::read, -1};
const ArgSpec error{"error", Access::read, -1}, delta{"delta", Access::update, 2};

OpRegistration pes(make_spec<PesOp>("pes", {pre, error, delta}, {"alpha"}, check_pes));
OpRegistration bcm(make_spec<BcmOp>("bcm", {pre, post, {"theta", Access::read, -1}, delta}, {"alpha"}, check_bcm));
OpRegistration oja(make_spec<OjaOp>("oja", {pre, post, {"weights", Access::read, 2}, delta}, {"alpha", "beta"},
                                    check_oja));
OpRegistration voja(make_spec<VojaOp>("voja",
                                      {{"pre_decoded", Access::read, -1},
                                       post,
                                       {"scaled_encoders", Access::read, 2},
                                       {"learning_signal", Access::read, -1},
                                       {"scale", Access::read, -1},
                                       delta},
                                      {"alpha"}, check_voja));
OpRegistration rls(make_spec<RlsOp>("rls", {pre, error, delta, {"inv_gamma", Access::update, 2}}, {}, check_rls));

}  // namespace
}  // namespace nengo_dl
