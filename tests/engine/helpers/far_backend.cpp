// Backend "far" of the tests: the CPU's kernels on memory that the host can't reach (far_space.h). Loading this library
// adds the backend.
#include "helpers/far_gpu_memory.h"
#include "helpers/far_space.h"

namespace {

using namespace nengo_dl;

template <class T>
class FarKernel final : public Kernel<T> {
 public:
  explicit FarKernel(std::unique_ptr<Kernel<T>> kernel) : kernel_(std::move(kernel)) {}
  void run(const Frame<T>& frame, int64_t t0, int64_t t1) const override {
    const FarSpace::Open open(far_space());
    kernel_->run(frame, t0, t1);
  }
  void grad(const GradFrame<T>& frame, int64_t t0, int64_t t1) const override {
    const FarSpace::Open open(far_space());
    kernel_->grad(frame, t0, t1);
  }
  void grad_params(const GradFrame<T>& frame, int64_t t0, int64_t t1) const override {
    const FarSpace::Open open(far_space());
    kernel_->grad_params(frame, t0, t1);
  }

 private:
  std::unique_ptr<Kernel<T>> kernel_;
};

template <class T>
MakeKernel<T> wrapped(const KernelMaker& maker) {
  return [make = maker.template make<T>()](const OpRecord& r, const Program& p) -> std::unique_ptr<Kernel<T>> {
    return std::make_unique<FarKernel<T>>(make(r, p));
  };
}

const bool added = [] {
  auto far = std::make_unique<Backend>("far", far_space(), cpu_tiling());
  for (const auto& [kind, maker] : cpu_backend().kernels())
    far->add_kernel(kind, {wrapped<float>(maker), wrapped<double>(maker)});
  add_backend(std::move(far));
  return true;
}();

}  // namespace
