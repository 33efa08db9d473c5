// Which loops are run ensemble by ensemble.
#include "cuda/ensemble_loop.h"

#include <algorithm>

#include "cuda/loop_ways.h"

namespace nengo_dl {
namespace cuda {
namespace {

constexpr int64_t kMostNeurons = 8 * kEnsembleLanes;  // of an ensemble
constexpr int64_t kRoom = 40 << 10;                   // bytes of a block, for any GPU
// Of an H100: warps that are at work at a time; seconds of a step, of an op and of a neuron of a lane.
constexpr double kAtWork = 132 * 24, kStep = 0.1e-6, kSmall = 0.06e-6, kNeuron = 0.06e-6;

template <class T>
class EnsembleLoop final : public LoopWay<T> {
 public:
  EnsembleLoop(const std::vector<LoopOp>& ops, const Program& program)
      : sizes_(program), plan_(plan_ensembles<T>(ops, program, tables_)) {
    if (!plan_.good) return;
    for (const EnsembleIsland<T>& island : plan_.islands) {
      call_.neurons = std::max(call_.neurons, island.n);
      call_.dims = std::max(call_.dims, island.dims), call_.rows = std::max(call_.rows, island.rows);
      call_.most_ops = std::max(call_.most_ops, island.ops.count);
      call_.most_entries = std::max(call_.most_entries, island.entries.count);
    }
    call_.count = static_cast<int64_t>(plan_.islands.size());
    call_.type = plan_.type, call_.slots = (plan_.slots + 3) / 4 * 4;
    call_.islands = tables_.add(plan_.islands), call_.ops = tables_.add(plan_.ops);
    call_.entries = tables_.add(plan_.entries), call_.ports = tables_.add(plan_.ports);
  }
  bool good() const { return plan_.good && call_.neurons <= kMostNeurons && call_.bytes(kEnsembleWarps) <= kRoom; }

  using LoopWay<T>::seconds;
  double seconds(const Frame<T>& f) const override {
    for (int64_t b : plan_.in_rows)
      if (f.base[b] && f.row[b] == 0) return kNever;
    for (int64_t b : plan_.in_place)
      if (f.row[b] != 0) return kNever;
    const double lane = (call_.neurons + kEnsembleLanes - 1) / kEnsembleLanes;
    const double rounds = std::max(1.0, static_cast<double>(call_.count * f.batch) / kAtWork);
    return rounds * (kStep + call_.most_ops * kSmall + lane * kNeuron);
  }
  void run(const Frame<T>& frame, int64_t t0, int64_t t1) const override {
    if (t1 <= t0 || frame.batch <= 0) return;
    const std::lock_guard<std::recursive_mutex> hold(launching());
    EnsembleCall<T> call = call_;
    call.frame = on_device(frame, sizes_), call.t0 = t0, call.t1 = t1;
    start_ensembles(call);
  }

 private:
  const FrameSizes sizes_;
  Tables tables_;
  const EnsemblePlan<T> plan_;
  EnsembleCall<T> call_{};
};

std::unique_ptr<LoopWay<float>> make(const std::vector<LoopOp>& ops, const Program& program) {
  auto way = std::make_unique<EnsembleLoop<float>>(ops, program);
  if (!way->good()) return nullptr;
  return way;
}

const bool added = [] {
  WayMaker maker;
  maker.name = "ensembles", maker.run32 = make;
  maker.only_if_asked = true;  // until it has been measured on a GPU
  add_loop_way(std::move(maker));
  return true;
}();

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
