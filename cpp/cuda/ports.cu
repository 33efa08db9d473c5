#include "cuda/ports.h"

#include "cuda/streams.h"

namespace nengo_dl {
namespace cuda {
namespace {

// As DeviceKernel, but values that lie side by side are a stream.
template <class T>
class InputKernel final : public DeviceKernel<T, InputOp<T>> {
  using Phases = DeviceKernel<T, InputOp<T>>;

 public:
  InputKernel(const OpRecord& record, const Program& program)
      : Phases(record, program), straight_(is_straight(this->op().dst)) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    if (!straight_ || !rows_of(f, this->op().dst, t0).differ(t1 - t0, f.batch)) return Phases::run(f, t0, t1);
    const int64_t size = this->op().dst.size, index = this->op().index;
    copy_rows<T>(t1 - t0, f.batch, size, {f.inputs[index] + (f.offset + t0) * size, size, f.input_steps[index] * size},
                 rows_of(f, this->op().dst, t0), true);
  }
  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    if (this->op().template back_work<0>(f, t1 - t0, Pass::values) == 0) return;
    if (!straight_) return Phases::grad(f, t0, t1);
    const int64_t size = this->op().dst.size, index = this->op().index;
    const Rows<T> from = rows_of(f.adjoint, this->op().dst, t0);
    copy_rows<T>(t1 - t0, f.adjoint.batch, size, {from.at, from.row, from.item},
                 {f.input_grads[index] + (f.value.offset + t0) * size, size, f.value.input_steps[index] * size}, false);
  }

 private:
  const bool straight_;
};

template <class T>
class OutputKernel final : public DeviceKernel<T, OutputOp<T>> {
  using Phases = DeviceKernel<T, OutputOp<T>>;

 public:
  OutputKernel(const OpRecord& record, const Program& program)
      : Phases(record, program), straight_(is_straight(this->op().src)) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    if (!straight_) return Phases::run(f, t0, t1);
    const Place& src = this->op().src;
    const int64_t index = this->op().index, kept = f.output_steps[index], first = kept == 1 ? t1 - 1 : t0;
    if (kept == 1 && t1 != f.steps) return;  // a run ends with a window
    const Rows<T> from = rows_of(f, src, first);
    copy_rows<T>(t1 - first, f.batch, src.size, {from.at, from.row, from.item},
                 {f.outputs[index] + (kept == 1 ? 0 : f.offset + first) * src.size, src.size, kept * src.size}, true);
  }
  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    const Place& src = this->op().src;
    if (this->op().template back_work<0>(f, t1 - t0, Pass::values) == 0) return;
    const Rows<T> to = rows_of(f.adjoint, src, t0);
    if (!straight_ || !to.differ(t1 - t0, f.adjoint.batch)) return Phases::grad(f, t0, t1);
    const int64_t index = this->op().index, kept = f.value.output_steps[index];
    const T* const rows = f.output_grads[index] + (kept == 1 ? 0 : f.value.offset + t0) * src.size;
    copy_rows<T>(t1 - t0, f.adjoint.batch, src.size, {rows, kept == 1 ? 0 : src.size, kept * src.size}, to,
                 f.unset[src.view.buffer]);
  }
  bool sets(int64_t) const override { return straight_; }

 private:
  const bool straight_;
};

const DeviceOp<TimeOp> time_op("time");
const DeviceOwn<InputKernel> input("input");
const DeviceOwn<OutputKernel> output("output");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
