#include "cuda/neurons.h"

#include "cuda/neurons_start.h"

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
    op.template run_as<N, 32 / sizeof(T)>(frame, t0, t1, i);
  }
};

// As DeviceKernel, but each type has kernels of its own, which take no more registers than it needs.
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
  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::values); }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::params); }
  bool sets(int64_t) const override { return !op_.summed; }

 private:
  void back(const GradFrame<T>& frame, int64_t t0, int64_t t1, Pass pass) const {
    const int64_t steps = t1 - t0, work = op_.template back_work<0>(frame, steps, pass);
    if (work == 0) return;
    const std::lock_guard<std::recursive_mutex> hold(launching());
    const BackPhase<T, NeuronsOp<T>, 1> sum{with_parts(op_.parts_size(frame, steps, pass)), on_device(frame, sizes_),
                                            t0, t1, pass};
    start_back(sum.op, sum.frame, t0, t1, pass, work);
    const int64_t sums = op_.template back_work<1>(frame, steps, pass);
    if (op_.back_teams(1))
      launch<true>(sum, sums);
    else
      launch<false>(sum, sums);
  }

  // Memory is kept by the kernel: windows are of one length, but for the last.
  NeuronsOp<T> with_parts(int64_t size) const {
    NeuronsOp<T> op = op_;
    op.parts = parts_.at_least(size);
    return op;
  }

  const FrameSizes sizes_;
  Tables tables_;
  NeuronsOp<T> op_;
  mutable Growing<T> parts_;
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
