#include "cuda/conv.h"

#include <cstdlib>
#include <string>

#include "cuda/conv_tiles_run.h"

namespace nengo_dl {
namespace cuda {
namespace {

// As DeviceKernel, but what is large is done in tiles, which have the bits of the phases.
template <class T, bool kTransposed>
class ConvKernel final : public DeviceKernel<T, ConvolutionOp<T, kTransposed>> {
  using Op = ConvolutionOp<T, kTransposed>;
  using Phases = DeviceKernel<T, Op>;

 public:
  ConvKernel(const OpRecord& record, const Program& program) : Phases(record, program) {
    if (const char* const asked = std::getenv("NENGO_DL_CONV_TILES")) asked_ = asked;
    if (asked_ == "0") return;
    const Op& op = this->op();
    const int64_t size = std::max({op.w.size, op.x.size, op.y.size});
    if (size > INT32_MAX) return;
    const int64_t taps = op.product.shape.taps(), out = op.product.out_group, in = op.product.in_group;
    const int64_t positions = kTransposed ? op.product.shape.inputs() : op.product.shape.outputs();
    if (suits(out, taps * in) && !op.y.start) to_y_ = MapTerms<T>(op.forward, tables_);
    if (suits(in, taps * out) && !op.x.start) to_x_ = MapTerms<T>(op.backward, tables_);
    const bool apart = !op.w.start, joined = op.w.count == op.w.size;
    if (suits(kTransposed ? in : out, positions) && (apart || joined)) to_w_ = PositionTerms<T>(op.product, tables_);
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    const Op& op = this->op();
    if (!map(op.forward, to_y_, f, op.x, f, op.y, f, t0, t1, op.set ? ConvPut::set : ConvPut::inc))
      Phases::run(f, t0, t1);
  }
  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::values); }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::params); }

 private:
  // Whether an operand is worth a table of terms.
  bool suits(int64_t columns, int64_t terms) const {
    constexpr int64_t kFewest = 4;
    return terms <= kMostTerms && (columns >= kFewest || !asked_.empty());
  }

  void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass) const {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    const Op& op = this->op();
    this->template back_phase<0>(f, t0, t1, pass, [&] {
      return map(op.backward, to_x_, f.value, op.y, f.adjoint, op.x, f.adjoint, t0, t1, ConvPut::add);
    });
    this->template back_phase<1>(f, t0, t1, pass, [&] {
      return to_w_.fields.fit && run_conv_tiles(WeightJob<T>(op, to_w_, f, t0, t1 - t0), asked_);
    });
    this->template back_phase<2>(f, t0, t1, pass, [] { return false; });
  }

  // Each step and item has results of its own.
  bool map(const ConvMap<T>& way, const MapTerms<T>& terms, const Frame<T>& weights, const Place& from,
           const Frame<T>& from_frame, const Place& to, const Frame<T>& to_frame, int64_t t0, int64_t t1,
           ConvPut put) const {
    const int64_t steps = t1 - t0, batch = to_frame.batch;
    const bool own = (steps == 1 || to_frame.row[to.view.buffer]) && (batch == 1 || to_frame.item[to.view.buffer]);
    if (!terms.fields.fit || !own) return false;
    const MapJob<T> job(way, terms, {this->op().w, weights, t0}, {from, from_frame, t0}, {to, to_frame, t0}, steps,
                        batch, put);
    return run_conv_tiles(job, asked_);
  }

  Tables tables_;
  MapTerms<T> to_y_, to_x_;  // if their fields fit, as those of to_w_
  PositionTerms<T> to_w_;
  std::string asked_;
};

template <class T>
using DirectKernel = ConvKernel<T, false>;
template <class T>
using TransposedKernel = ConvKernel<T, true>;

const DeviceOwn<DirectKernel> conv("conv");
const DeviceOwn<TransposedKernel> conv_transpose("conv_transpose");

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
