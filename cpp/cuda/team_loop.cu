// Which loops teams of blocks run, and how.
#include "cuda/loop.h"
#include "cuda/loop_ways.h"
#include "cuda/team_loop_plan.h"

namespace nengo_dl {
namespace cuda {

template <class T, class AnyFrame>
void start_team(const TeamCall<T>& call, const AnyFrame& frame, int64_t bytes);
// How many teams are at work at a time; 0: the GPU takes none.
template <class T, class AnyFrame>
int64_t most_teams(int64_t size, int64_t bytes);

namespace {

constexpr int64_t kBlockBytes = 227 << 10;  // shared memory that a block may ask for

// Whether the GPU has clusters of blocks, and as much memory for each as is reckoned with.
#ifdef __CUDACC__
bool has_teams() {
  static const bool found = gpu_fact(cudaDevAttrComputeCapabilityMajor) >= 9 && block_bytes() >= kBlockBytes;
  return found;
}
#else
bool has_teams() { return true; }
#endif

template <class T>
class TeamLoop final : public LoopWay<T> {
 public:
  TeamLoop(const std::vector<LoopOp>& ops, const Program& program, bool back)
      : sizes_(program), plan_(ops, program, tables_, back), back_(back) {
    good_ = has_teams() && plan_.good && has_products();
    if (!good_) return;
    for (const auto* part : {&plan_.before, &plan_.steps, &plan_.after})
      ops_.insert(ops_.end(), part->begin(), part->end());
    call_.before = static_cast<int32_t>(plan_.before.size()), call_.steps = static_cast<int32_t>(plan_.steps.size());
    call_.after = static_cast<int32_t>(plan_.after.size()), call_.stride = (plan_.stride + 3) / 4 * 4;
    pin_weights();
    call_.ops = tables_.add(ops_);
    good_ = bytes(1) <= kBlockBytes;
    if (!good_) return;
    teams_ = back_ ? most_teams<T, GradFrame<T>>(call_.size, bytes(1)) : most_teams<T, Frame<T>>(call_.size, bytes(1));
    good_ = teams_ > 0;
  }

  bool good() const { return good_; }
  double seconds(const Frame<T>& f) const override { return back_ ? kNever : taken(f.batch); }
  double seconds(const GradFrame<T>& f) const override {
    for (int64_t b : plan_.held)
      if (f.adjoint.base[b] && f.adjoint.row[b] != 0) return kNever;
    for (int64_t b : plan_.rowed)
      if (f.adjoint.base[b] && f.adjoint.row[b] == 0) return kNever;
    return back_ ? taken(f.adjoint.batch) : kNever;
  }
  void run(const Frame<T>& frame, int64_t t0, int64_t t1) const override { start(frame, frame.batch, t0, t1); }
  void grad(const GradFrame<T>& frame, int64_t t0, int64_t t1) const override {
    start(frame, frame.adjoint.batch, t0, t1);
  }

 private:
  bool has_products() const {
    return std::any_of(plan_.steps.begin(), plan_.steps.end(),
                       [](const TeamOp<T>& op) { return op.split && op.kind == team_dense; });
  }
  int64_t bytes(int64_t items) const {
    return (call_.pinned + call_.stride * items) * int64_t{sizeof(T)} +
           static_cast<int64_t>(ops_.size() * sizeof(TeamOp<T>) + plan_.models * sizeof(TeamModel<T>));
  }
  // Elements of an op's weights of a block in a team of so many.
  int64_t share(const TeamOp<T>& op, int64_t size) const {
    const int64_t all = back_ ? op.n : op.m, other = back_ ? op.m : op.n;
    const int64_t part = op.split ? (all + size - 1) / size : all;
    return back_ ? other * team_pitch(static_cast<int32_t>(part)) : part * team_pitch(static_cast<int32_t>(other));
  }
  // The smallest team that has all weights close by, with room for some items.
  void pin_weights() {
    const int64_t room = (kBlockBytes - bytes(kMostItems)) / int64_t{sizeof(T)};
    const auto needs = [&](int64_t size) {
      int64_t all = 0;
      for (const TeamOp<T>& op : ops_)
        if (op.kind == team_dense) all += share(op, size);
      return all;
    };
    while (call_.size < kMostTeam && needs(call_.size) > room) call_.size *= 2;
    for (TeamOp<T>& op : ops_) {
      if (op.kind != team_dense) continue;
      const int64_t part = (share(op, call_.size) + 3) / 4 * 4;
      if (call_.pinned + part > room) {
        far_ += share(op, call_.size);
        continue;
      }
      op.pin = call_.pinned, call_.pinned += static_cast<int32_t>(part);
    }
  }
  int32_t items(int64_t batch) const {
    int32_t items = 1;
    while (items < kMostItems && (batch + items - 1) / items > teams_ && bytes(2 * items) <= kBlockBytes) items *= 2;
    return items;
  }
  double taken(int64_t batch) const {
    const int64_t items = this->items(batch), teams = (batch + items - 1) / items;
    const auto waves = static_cast<double>((teams + teams_ - 1) / teams_);
    double step = 0;
    for (const TeamOp<T>& op : plan_.steps) {
      step += op.wait == team_waits ? 0.4e-6 : op.wait == team_waits_in_block ? 0.06e-6 : 0.0;
      step += 0.15e-6;
      if (op.kind == team_dense) step += static_cast<double>(share(op, call_.size) * items) / 5e10;
      if (op.kind == team_dense && back_) step += op.m * 5e-9;
    }
    return waves * (step + static_cast<double>(far_) * sizeof(T) / 40e9);
  }

  template <class AnyFrame>
  void start(const AnyFrame& frame, int64_t batch, int64_t t0, int64_t t1) const {
    if (t1 <= t0 || batch <= 0) return;
    const std::lock_guard<std::recursive_mutex> hold(launching());
    TeamCall<T> call = call_;
    call.items = items(batch), call.t0 = t0, call.t1 = t1;
    start_team(call, on_device(frame, sizes_), bytes(call.items));
  }

  const FrameSizes sizes_;
  Tables tables_;
  TeamPlan<T> plan_;
  std::vector<TeamOp<T>> ops_;
  TeamCall<T> call_;
  int64_t teams_ = 0;  // at a time
  int64_t far_ = 0;    // elements of weights that a block reads from afar in each step
  const bool back_;
  bool good_;
};

template <bool kBack>
std::unique_ptr<LoopWay<float>> make(const std::vector<LoopOp>& ops, const Program& program) {
  auto way = std::make_unique<TeamLoop<float>>(ops, program, kBack);
  if (!way->good()) return nullptr;
  return way;
}

const bool added = [] {
  WayMaker maker;
  maker.name = "team", maker.run32 = make<false>, maker.back32 = make<true>;
  add_loop_way(std::move(maker));
  return true;
}();

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
