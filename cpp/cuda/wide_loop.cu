#include "cuda/wide_loop.h"

#include <algorithm>

#include "cuda/loop.h"
#include "cuda/loop_ways.h"

namespace nengo_dl {
namespace cuda {
namespace {

// Seconds on an H100: until what is told is heard, an op, a term of a product; terms that a neuron's step is worth.
constexpr double kExchange = 1.2e-6, kOp = 0.12e-6, kTerm = 1e-11, kNeuron = 20;
constexpr int64_t kMostItems = 256;       // of a block
constexpr int64_t kMostWords = 64 << 20;  // that go round, of a launch

template <class T>
class WideKernel final : public LoopWay<T> {
 public:
  WideKernel(const std::vector<LoopOp>& ops, const Program& program, bool together)
      : sizes_(program), plan_(plan_wide<T>(ops, program, tables_, processors(), together)) {
    if (!plan_.good) return;
    call_.blocks = tables_.add(plan_.blocks), call_.ops = tables_.add(plan_.ops);
    call_.fetches = tables_.add(plan_.fetches), call_.loads = tables_.add(plan_.loads);
    call_.weights = tables_.add(plan_.weights), call_.entries = tables_.add(plan_.entries);
    call_.integers = tables_.add(plan_.integers), call_.exchanges = tables_.add(plan_.exchanges);
    call_.words = plan_.words, call_.count = static_cast<int32_t>(plan_.blocks.size());
    teams_ = together ? std::max<int64_t>(1, processors() / call_.count) : 1;
    const int64_t room = block_bytes() - (4 << 10);  // some are the compiler's and the driver's
    while (most_ < kMostItems && bytes(most_ + 1) <= room) ++most_;
    find_taken();
  }
  bool good() const { return plan_.good && most_ > 0; }

  using LoopWay<T>::seconds;
  double seconds(const Frame<T>& f) const override {
    for (int64_t b : plan_.in_rows)
      if (f.row[b] == 0) return kNever;
    for (int64_t b : plan_.in_place)
      if (f.row[b] != 0) return kNever;
    const int64_t items = items_of(f.batch), launches = (f.batch + items * teams_ - 1) / (items * teams_);
    return static_cast<double>(launches) * (waits_ + static_cast<double>(items) * work_);
  }
  void run(const Frame<T>& frame, int64_t t0, int64_t t1) const override {
    if (t1 <= t0 || frame.batch <= 0) return;
    const std::lock_guard<std::recursive_mutex> hold(launching());
    WideCall<T> call = call_;
    call.frame = on_device(frame, sizes_), call.items = static_cast<int32_t>(items_of(frame.batch));
    const int64_t together = std::min(frame.batch, teams_ * call.items), step = kWideCopies * together * plan_.words;
    const int64_t steps =
        std::clamp<int64_t>(kMostWords / std::max<int64_t>(1, step), 1, std::min(kWideSteps, t1 - t0));
    for (int64_t t = t0; t < t1; t += steps)
      for (int64_t first = 0; first < frame.batch; first += together) {
        call.t0 = t, call.t1 = std::min(t1, t + steps);
        call.first = first, call.last = std::min(frame.batch, first + together);
        start(call, steps * step);
      }
  }

 private:
  int64_t bytes(int64_t items) const {
    int64_t most = 0;
    for (const WideBlock& b : plan_.blocks) most = std::max(most, wide_bytes<T>(b, items));
    return most;
  }
  // Of a team, of so many; those that don't fit are run later.
  int64_t items_of(int64_t batch) const { return std::clamp<int64_t>((batch + teams_ - 1) / teams_, 1, most_); }
  void find_taken() {
    for (const WideBlock& b : plan_.blocks) {
      double waits = 0, work = 0;
      for (int32_t i = b.ops.first; i < b.ops.first + b.ops.count; ++i) {
        const WideOp<T>& op = plan_.ops[i];
        waits += kOp + (op.kind == Wide::receive ? kExchange : 0);
        work += kTerm * op.count * (op.kind == Wide::neurons ? kNeuron : std::max(1, op.n));
      }
      waits_ = std::max(waits_, waits), work_ = std::max(work_, work);
    }
  }
  void start(WideCall<T> call, int64_t room) const {
    const bool grows = room > told_.count();
    call.told = told_.at_least(room);
    if (grows || tag_ > UINT32_MAX - 2 * static_cast<uint32_t>(kWideSteps)) {
      device_space().zero(call.told, told_.count() * int64_t{sizeof(uint64_t)});
      tag_ = 0;
    }
    call.tag = tag_;
    tag_ += static_cast<uint32_t>(call.t1 - call.t0);
    const int64_t teams = (call.last - call.first + call.items - 1) / call.items;
    start_wide(call, teams, bytes(call.items));
  }

  const FrameSizes sizes_;
  Tables tables_;
  const WidePlan<T> plan_;
  WideCall<T> call_{};
  int64_t teams_ = 1, most_ = 0;  // teams of blocks; items of a team
  double waits_ = 0, work_ = 0;   // seconds of a step, of any number of items and of each
  mutable Growing<uint64_t> told_;
  mutable uint32_t tag_ = 0;
};

template <class T, bool kTogether>
std::unique_ptr<LoopWay<T>> make(const std::vector<LoopOp>& ops, const Program& program) {
  if (processors() < kWideLanes) return nullptr;
  auto way = std::make_unique<WideKernel<T>>(ops, program, kTogether);
  if (!way->good()) return nullptr;
  return way;
}

template <bool kTogether>
WayMaker maker(const char* name) {
  WayMaker made;
  made.name = name, made.run32 = make<float, kTogether>, made.run64 = make<double, kTogether>;
  // Until it has been seen to run on a GPU: blocks that wait for each other may wait long.
  made.only_if_asked = true;
  return made;
}

const bool added = [] {
  add_loop_way(maker<false>("wide")), add_loop_way(maker<true>("coupled"));
  return true;
}();

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
