#include "cuda/copy.h"

#include "cuda/streams.h"

namespace nengo_dl {
namespace cuda {
namespace {

// As DeviceKernel, but a copy from elements side by side to such ones is a stream.
template <class T>
class CopyKernel final : public DeviceKernel<T, CopyOp<T>> {
  using Phases = DeviceKernel<T, CopyOp<T>>;

 public:
  CopyKernel(const OpRecord& record, const Program& program)
      : Phases(record, program), straight_(is_straight(this->op().src) && is_straight(this->op().dst)) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    const Place &src = this->op().src, &dst = this->op().dst;
    if (!straight_ || !rows_of(f, dst, t0).differ(t1 - t0, f.batch)) return Phases::run(f, t0, t1);
    stream(f, src, dst, t0, t1, this->op().set);
  }
  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    const Place &src = this->op().src, &dst = this->op().dst;
    if (this->op().template back_work<0>(f, t1 - t0, Pass::values) == 0) return;
    if (!straight_ || !rows_of(f.adjoint, src, t0).differ(t1 - t0, f.adjoint.batch)) return Phases::grad(f, t0, t1);
    stream(f.adjoint, dst, src, t0, t1, f.unset[src.view.buffer]);
  }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    const Place &src = this->op().src, &dst = this->op().dst;
    const int64_t steps = t1 - t0, batch = f.adjoint.batch;
    if (this->op().template back_work<0>(f, steps, Pass::params) == 0) return;
    const Rows<T> rows = rows_of(f.adjoint, dst, t0);
    const bool even = batch == 1 || steps == 1 || rows.row == batch * rows.item;
    if (!straight_ || !even) return Phases::grad_params(f, t0, t1);
    sums_.add(rows.at, batch == 1 ? rows.row : rows.item, steps * batch, src.count, rows_of(f.adjoint, src, t0).at);
  }
  bool sets(int64_t) const override { return straight_; }

 private:
  static void stream(const Frame<T>& f, const Place& from, const Place& to, int64_t t0, int64_t t1, bool set) {
    const Rows<T> source = rows_of(f, from, t0);
    copy_rows<T>(t1 - t0, f.batch, to.count, {source.at, source.row, source.item}, rows_of(f, to, t0), set);
  }

  const bool straight_;
  const ColumnSums<T> sums_;
};

const DeviceOp<FillOp> fill("fill");
const DeviceOwn<CopyKernel> copy("copy");
const DeviceOp<ElementwiseOp> elementwise("elementwise");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
