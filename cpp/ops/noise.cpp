// `noise`: numbers drawn in every step, as NumPy's RandomState draws them. Always in double precision.
#include <algorithm>

#include "engine/backend.h"
#include "engine/kind.h"
#include "engine/random.h"
#include "ops/util.h"

namespace nengo_dl {
namespace {

void check(const OpRecord& op, const Program& program) {
  check_generator(op, program);
  need_shape(op, "dst", {op.arg("dst").count()});
  const std::string dist = op.text("dist");
  if (dist != "gaussian" && dist != "uniform")
    op.fail("attribute 'dist': expected 'gaussian' or 'uniform', got '" + dist + "'");
  const bool gaussian = dist == "gaussian";
  op.number(gaussian ? "mean" : "low");
  op.number(gaussian ? "std" : "high");
}

template <class T>
class NoiseKernel : public Kernel<T> {
 public:
  NoiseKernel(const OpRecord& op, const Program&)
      : dst_(op.arg("dst")),
        n_(op.arg("dst").count()),
        rng_(op.integer("rng")),
        set_(op.set()),
        gaussian_(op.text("dist") == "gaussian"),
        scale_(op.number("scale")) {
    base_ = op.number(gaussian_ ? "mean" : "low");
    range_ = gaussian_ ? op.number("std") : op.number("high") - base_;
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const int64_t stride = stride_of(dst_, 0);
    for (int64_t b = 0; b < f.batch; b++) {
      int32_t* generator = f.istate + b * f.istate_item + rng_;
      for (int64_t t = t0; t < t1; t++) {
        T* dst = dst_.at(f, t, b) + dst_.offsets[0];
        for (int64_t i = 0; i < n_; i += kChunk) add(generator, dst + i * stride, std::min(kChunk, n_ - i));
      }
    }
  }

 private:
  static constexpr int64_t kChunk = 256;

  void add(int32_t* generator, T* dst, int64_t count) const {
    const int64_t stride = stride_of(dst_, 0);
    double draws[kChunk];
    gaussian_ ? random_gausses(generator, draws, count) : random_samples(generator, draws, count);
    for (int64_t i = 0; i < count; i++) {
      const double value = (base_ + range_ * draws[i]) * scale_;
      dst[i * stride] = static_cast<T>(set_ ? value : dst[i * stride] + value);
    }
  }

  View dst_;
  int64_t n_, rng_;
  bool set_, gaussian_;
  double scale_, base_, range_;
};

Kind kind() {
  Kind k{"noise", {{"dst", Access::inc}}};
  k.attrs = {kSet, {"dist", AttrType::text}};
  for (const char* parameter : {"mean", "std", "low", "high"})
    k.attrs.push_back({parameter, AttrType::number, false, true});
  k.attrs.push_back({"scale", AttrType::number});
  k.attrs.push_back({"rng", AttrType::integer});
  k.settable = "dst";
  k.merges = k.slices = false;
  k.check = check;
  return k;
}

const KindRegistration noise(kind());
const CpuKernel<NoiseKernel> kernel("noise");

}  // namespace
}  // namespace nengo_dl
