// Learning rules: pes, bcm, oja, voja, rls. Each makes the weight change `delta` (m, n) of one step.
#include "engine/backend.h"
#include "engine/kind.h"
#include "ops/learning_rule.h"

namespace nengo_dl {
namespace {

using Names = std::vector<const char*>;

// `delta` has shape (m, n); `pre` (n), each of `posts` (m).
void check_shapes(const OpRecord& op, const char* pre, const Names& posts) {
  const std::vector<int64_t>& shape = op.arg("delta").shape;
  need_shape(op, pre, {shape[1]});
  for (const char* post : posts) need_shape(op, post, {shape[0]});
}

// ---------------------------------------------------------------- pes
// delta = outer(alpha error, pre)

void check_pes(const OpRecord& op, const Program&) { check_shapes(op, "pre_filtered", {"error"}); }

template <class T>
class PesKernel : public Rule<T> {
  enum { kPre, kError, kDelta };

 public:
  PesKernel(const OpRecord& op, const Program&) : Rule<T>(op, {"pre_filtered", "error", "delta"}, {"alpha"}) {}

 private:
  void block(const typename Rule<T>::Block& at) const override {
    LearningRow<T> row{};
    row.n = this->n_, row.x = at.vector(kPre), row.add = at.adds();
    const Strided<const T> error = at.vector(kError);
    for (int64_t i = 0; i < this->m_; i++) {
      row.y = at.change(kDelta, i);
      row.s = at.rate(0) * this->element(error, i);
      this->kernels_.outer(row);
    }
  }
};

// ---------------------------------------------------------------- bcm
// delta = outer(alpha post (post - theta), pre)

void check_bcm(const OpRecord& op, const Program&) { check_shapes(op, "pre_filtered", {"post_filtered", "theta"}); }

template <class T>
class BcmKernel : public Rule<T> {
  enum { kPre, kPost, kTheta, kDelta };

 public:
  BcmKernel(const OpRecord& op, const Program&)
      : Rule<T>(op, {"pre_filtered", "post_filtered", "theta", "delta"}, {"alpha"}) {}

 private:
  void block(const typename Rule<T>::Block& at) const override {
    LearningRow<T> row{};
    row.n = this->n_, row.x = at.vector(kPre), row.add = at.adds();
    const Strided<const T> post = at.vector(kPost), theta = at.vector(kTheta);
    for (int64_t i = 0; i < this->m_; i++) {
      const T activity = this->element(post, i);
      row.y = at.change(kDelta, i);
      row.s = at.rate(0) * activity * (activity - this->element(theta, i));
      this->kernels_.outer(row);
    }
  }
};

// ---------------------------------------------------------------- oja
// delta = alpha (outer(post, pre) - beta post^2 w)

void check_oja(const OpRecord& op, const Program&) {
  check_shapes(op, "pre_filtered", {"post_filtered"});
  need_shape(op, "weights", op.arg("delta").shape);
}

template <class T>
class OjaKernel : public Rule<T> {
  enum { kPre, kPost, kWeights, kDelta };

 public:
  OjaKernel(const OpRecord& op, const Program&)
      : Rule<T>(op, {"pre_filtered", "post_filtered", "weights", "delta"}, {"alpha", "beta"}) {}

 private:
  void block(const typename Rule<T>::Block& at) const override {
    LearningRow<T> row{};
    row.n = this->n_, row.x = at.vector(kPre), row.add = at.adds();
    row.forget = -at.rate(1);
    const Strided<const T> post = at.vector(kPost);
    for (int64_t i = 0; i < this->m_; i++) {
      const T activity = this->element(post, i);
      row.w = at.read_row(kWeights, i);
      row.y = at.change(kDelta, i);
      row.s = at.rate(0) * activity;
      row.q = row.s * activity;
      this->kernels_.oja(row);
    }
  }
};

// ---------------------------------------------------------------- voja
// delta = alpha signal (scale outer(post, pre) - post encoders)

void check_voja(const OpRecord& op, const Program&) {
  check_shapes(op, "pre_decoded", {"post_filtered", "scale"});
  need_shape(op, "scaled_encoders", op.arg("delta").shape);
  need_shape(op, "learning_signal", {1});
}

template <class T>
class VojaKernel : public Rule<T> {
  enum { kPre, kPost, kEncoders, kSignal, kScale, kDelta };

 public:
  VojaKernel(const OpRecord& op, const Program&)
      : Rule<T>(op, {"pre_decoded", "post_filtered", "scaled_encoders", "learning_signal", "scale", "delta"},
                {"alpha"}) {}

 private:
  void block(const typename Rule<T>::Block& at) const override {
    LearningRow<T> row{};
    row.n = this->n_, row.x = at.vector(kPre), row.add = at.adds();
    row.rate = at.rate(0) * *at.at(kSignal);
    const Strided<const T> post = at.vector(kPost), scale = at.vector(kScale);
    for (int64_t i = 0; i < this->m_; i++) {
      row.w = at.read_row(kEncoders, i);
      row.y = at.change(kDelta, i);
      row.post = this->element(post, i);
      row.scale = this->element(scale, i);
      this->kernels_.voja(row);
    }
  }
};

// ---------------------------------------------------------------- rls (recursive least squares)
// P r; c = 1 / (1 + r.Pr); P -= outer(Pr, c Pr); delta = outer(error, -c Pr)

void check_rls(const OpRecord& op, const Program&) {
  check_shapes(op, "pre_filtered", {"error"});
  const int64_t n = op.arg("delta").shape[1];
  need_shape(op, "inv_gamma", {n, n});
}

template <class T>
class RlsKernel : public Rule<T> {
  enum { kPre, kError, kDelta, kGamma };

 public:
  RlsKernel(const OpRecord& op, const Program&)
      : Rule<T>(op, {"pre_filtered", "error", "delta", "inv_gamma"}, {}), gamma_(op.arg("inv_gamma")) {}

  int64_t room() const override { return 4 * this->n_; }

 private:
  using Block = typename Rule<T>::Block;

  void block(const Block& at) const override {
    const int64_t n = this->n_;
    T* r = scratch<T>(room());  // the activities; P r; c P r; a row of P, if its elements don't lie side by side
    T *Pr = r + n, *cPr = r + 2 * n, *line = r + 3 * n;
    const Strided<const T> pre = at.vector(kPre);
    for (int64_t j = 0; j < n; j++) r[j] = this->element(pre, j);
    const int64_t back = old_row(at.frame, gamma_);
    for (int64_t i = 0; i < n; i++) Pr[i] = this->kernels_.dot(old_line(at, i, back, line), r, n);
    const T c = T(1) / (T(1) + this->kernels_.dot(r, Pr, n));
    for (int64_t j = 0; j < n; j++) cPr[j] = Pr[j] * c;
    for (int64_t i = 0; i < n; i++) {
      const Strided<T> now = at.row(kGamma, i);
      const bool unit = now.stride == 1;
      const T* old = old_line(at, i, back, line);
      this->kernels_.minus(unit ? now.p : line, old, Pr[i], cPr, n);
      for (int64_t j = 0; !unit && j < n; j++) now.p[j * now.stride] = line[j];
    }
    LearningRow<T> row{};
    row.n = n, row.x = {cPr, 1}, row.add = at.adds();
    const Strided<const T> error = at.vector(kError);
    for (int64_t i = 0; i < this->m_; i++) {
      row.y = at.change(kDelta, i);
      row.s = -this->element(error, i);
      this->kernels_.outer(row);
    }
  }

  const T* old_line(const Block& at, int64_t i, int64_t back, T* line) const {
    const Strided<T> now = at.row(kGamma, i);
    if (now.stride == 1) return now.p - back;
    for (int64_t j = 0; j < this->n_; j++) line[j] = now.p[j * now.stride - back];
    return line;
  }

  const View gamma_;
};

// ---------------------------------------------------------------- registration

const ArgSpec pre{"pre_filtered", Access::read}, post{"post_filtered", Access::read}, error{"error", Access::read};
const ArgSpec delta{"delta", Access::update, 2, false, false};

Kind rule(const char* name, std::vector<ArgSpec> args, const Names& rates, std::vector<std::string> rows,
          decltype(Kind::check) check) {
  Kind k{name, std::move(args)};
  k.rows = std::move(rows);
  for (const char* rate : rates) k.attrs.push_back({rate, AttrType::number, true});
  k.check = std::move(check);
  return k;
}

const KindRegistration kinds[] = {
    KindRegistration(rule("pes", {pre, error, delta}, {"alpha"}, {"delta", "error"}, check_pes)),
    KindRegistration(rule("bcm", {pre, post, {"theta", Access::read}, delta}, {"alpha"},
                          {"delta", "post_filtered", "theta"}, check_bcm)),
    KindRegistration(rule("oja", {pre, post, {"weights", Access::read, 2}, delta}, {"alpha", "beta"},
                          {"delta", "post_filtered", "weights"}, check_oja)),
    KindRegistration(rule("voja",
                          {{"pre_decoded", Access::read},
                           post,
                           {"scaled_encoders", Access::read, 2},
                           {"learning_signal", Access::read},
                           {"scale", Access::read},
                           delta},
                          {"alpha"}, {"delta", "post_filtered", "scaled_encoders", "scale"}, check_voja)),
    KindRegistration(rule("rls", {pre, error, delta, {"inv_gamma", Access::update, 2}}, {}, {}, check_rls))};
const CpuKernel<PesKernel> pes("pes");
const CpuKernel<BcmKernel> bcm("bcm");
const CpuKernel<OjaKernel> oja("oja");
const CpuKernel<VojaKernel> voja("voja");
const CpuKernel<RlsKernel> rls("rls");

}  // namespace
}  // namespace nengo_dl
