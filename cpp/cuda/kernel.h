// Kernels of the device: how the phases of an op are started.
//
// An op is a plain struct template on the scalar T, copied to the device as it is, with
//   Op(const OpRecord&, const Program&, Tables&)      runs on the host; arrays that it needs go to `tables`
//   phases                                            how many a run has, one after the other
//   work<P>(frame, steps)                             indices of phase P
//   run<P>(frame, t0, t1, i, team)                    phase P for index i
//   teams(int phase)                                  whether warps or threads take the indices
//   each_step                                         whether phases are run for one step after the other
// and, if derivatives pass through it,
//   back_phases, back_work<P>(frame, steps, pass), back<P>(frame, t0, t1, pass, i, team), back_teams(int phase)
//   back_each_step                                    likewise, from the last step to the first
// Both kinds of work are counted on the host and on the device; 0: there is nothing to do. PlainOp, from which ops are
// derived, has what most of them share.
#pragma once

#include <utility>

#include "cuda/phase.h"
#include "ops/adjoint.h"

namespace nengo_dl {
namespace cuda {

template <class T, class Op, int P>
struct RunPhase {
  Op op;
  Frame<T> frame;
  int64_t t0, t1;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team& team) const {
    op.template run<P>(frame, t0, t1, i, team);
  }
};

template <class T, class Op, int P>
struct BackPhase {
  Op op;
  GradFrame<T> frame;
  int64_t t0, t1;
  Pass pass;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team& team) const {
    op.template back<P>(frame, t0, t1, pass, i, team);
  }
};

template <class T, class Op>
class DeviceKernel : public Kernel<T> {
 public:
  DeviceKernel(const OpRecord& record, const Program& program) : sizes_(program), op_(record, program, tables_) {}

  void run(const Frame<T>& frame, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    const Frame<T> there = on_device(frame, sizes_);
    const int64_t length = Op::each_step ? 1 : t1 - t0;
    for (int64_t t = t0; t < t1; t += length)
      phases(frame, there, t, t + length, std::make_integer_sequence<int, Op::phases>());
  }
  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::values); }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::params); }
  bool sets(int64_t) const override { return Op::sets; }

 protected:
  const Op& op() const { return op_; }
  // Phase P of the way back, unless `instead()` has done its work.
  template <int P, class F>
  void back_phase(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass, const F& instead) const {
    const int64_t work = op_.template back_work<P>(f, t1 - t0, pass);
    if (work == 0 || instead()) return;
    start<true>(BackPhase<T, Op, P>{op_, on_device(f, sizes_), t0, t1, pass}, work, op_.back_teams(P));
  }

 private:
  template <int... P>
  void phases(const Frame<T>& here, const Frame<T>& there, int64_t t0, int64_t t1,
              std::integer_sequence<int, P...>) const {
    (start<Op::knows_teams>(RunPhase<T, Op, P>{op_, there, t0, t1}, op_.template work<P>(here, t1 - t0), op_.teams(P)),
     ...);
  }

  void back(const GradFrame<T>& frame, int64_t t0, int64_t t1, Pass pass) const {
    if constexpr (Op::back_phases > 0) {
      const std::lock_guard<std::recursive_mutex> hold(launching());
      const GradFrame<T> there = on_device(frame, sizes_);
      const int64_t length = Op::back_each_step ? 1 : t1 - t0;
      for (int64_t t = t1; t > t0; t -= length)
        back_phases(frame, there, t - length, t, pass, std::make_integer_sequence<int, Op::back_phases>());
    }
  }
  template <int... P>
  void back_phases(const GradFrame<T>& here, const GradFrame<T>& there, int64_t t0, int64_t t1, Pass pass,
                   std::integer_sequence<int, P...>) const {
    (start<true>(BackPhase<T, Op, P>{op_, there, t0, t1, pass}, op_.template back_work<P>(here, t1 - t0, pass),
                 op_.back_teams(P)),
     ...);
  }
  template <bool knows_teams, class Body>
  static void start(const Body& body, int64_t work, bool teams) {
    if constexpr (knows_teams)
      if (teams) return launch<true>(body, work);
    launch<false>(body, work);
  }

  const FrameSizes sizes_;
  Tables tables_;
  Op op_;
};

template <class Kernel32, class Kernel64>
void add_device_kernel(const std::string& kind) {
  device_backend().add_kernel(kind, {[](const OpRecord& r, const Program& p) -> std::unique_ptr<Kernel<float>> {
                                       return std::make_unique<Kernel32>(r, p);
                                     },
                                     [](const OpRecord& r, const Program& p) -> std::unique_ptr<Kernel<double>> {
                                       return std::make_unique<Kernel64>(r, p);
                                     }});
}

// In a source of cpp/cuda: `const DeviceOp<FillOp> fill("fill");`
template <template <class> class Op>
struct DeviceOp {
  explicit DeviceOp(const std::string& kind) {
    add_device_kernel<DeviceKernel<float, Op<float>>, DeviceKernel<double, Op<double>>>(kind);
  }
};

// The same for an op with a kernel of its own: `const DeviceOwn<CopyKernel> copy("copy");`
template <template <class> class K>
struct DeviceOwn {
  explicit DeviceOwn(const std::string& kind) { add_device_kernel<K<float>, K<double>>(kind); }
};

constexpr int64_t kDraws = 32;  // random numbers, one after the other, that take as long as a few operations

// What most ops have: one phase, no teams, all steps at once; derivatives don't pass.
struct PlainOp {
  static constexpr int phases = 1, back_phases = 0;
  static constexpr bool each_step = false, back_each_step = false;
  // Whether `teams` is ever true; whether the way back needs what `back_teams` says, or only gains by it.
  static constexpr bool knows_teams = false, needs_back_teams = false;
  static constexpr bool sets = false;  // Kernel::sets
  template <int P, class AnyFrame>
  NDL_HD int64_t work(const AnyFrame&, int64_t) const {
    return 0;
  }
  template <int P, class AnyFrame>
  NDL_HD int64_t back_work(const AnyFrame&, int64_t, Pass) const {
    return 0;
  }
  NDL_HD bool teams(int) const { return false; }
  NDL_HD bool back_teams(int) const { return false; }
  // How long a phase takes for an index, where 1 is a few operations.
  int64_t length(int) const { return 1; }
  int64_t back_length(int) const { return 1; }
  bool loops_back() const { return true; }  // whether its way back needs no memory but the frame's
};

}  // namespace cuda
}  // namespace nengo_dl
