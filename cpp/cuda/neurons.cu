#include "cuda/neurons.h"

namespace nengo_dl {
namespace cuda {
namespace {

template <class T, class N>
struct RunNeurons {
  NeuronsOp<T> op;
  Frame<T> frame;
  int64_t t0, t1;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team&) const {
    op.template run_as<N, 4>(frame, t0, t1, i);
  }
};

template <class T>
class NeuronsKernel final : public Kernel<T> {
 public:
  NeuronsKernel(const OpRecord& record, const Program& program) : sizes_(program), op_(record, program, tables_) {}

  void run(const Frame<T>& frame, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    const Frame<T> there = on_device(frame, sizes_);
    const int64_t work = op_.template work<0>(frame, t1 - t0);
    with_neuron_type<T>(op_.type, [&](auto* type) {
      using N = typename device::Bare<decltype(*type)>::type;
      launch<false>(RunNeurons<T, N>{op_, there, t0, t1}, work);
    });
  }

 private:
  const FrameSizes sizes_;
  Tables tables_;
  NeuronsOp<T> op_;
};

template <class T>
std::unique_ptr<Kernel<T>> make(const OpRecord& record, const Program& program) {
  return std::make_unique<NeuronsKernel<T>>(record, program);
}

[[maybe_unused]] const bool added = [] {
  device_backend().add_kernel("neurons", {make<float>, make<double>});
  return true;
}();

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
