#include "cuda/wide_loop.h"

#include <algorithm>

#include "cuda/loop.h"
#include "cuda/loop_ways.h"

namespace nengo_dl {
namespace cuda {
namespace {

constexpr double kExchange = 1.2e-6, kOp = 0.12e-6;  // seconds on an H100
constexpr int64_t kRoom = 220 << 10;                 // bytes of a block

template <class T>
class WideKernel final : public LoopWay<T> {
 public:
  WideKernel(const std::vector<LoopOp>& ops, const Program& program)
      : sizes_(program), plan_(plan_wide<T>(ops, program, tables_, processors())) {
    call_.blocks = tables_.add(plan_.blocks), call_.ops = tables_.add(plan_.ops);
    call_.fetches = tables_.add(plan_.fetches), call_.loads = tables_.add(plan_.loads);
    call_.weights = tables_.add(plan_.weights), call_.entries = tables_.add(plan_.entries);
    call_.integers = tables_.add(plan_.integers), call_.exchanges = tables_.add(plan_.exchanges);
    call_.words = plan_.words;
  }
  bool good() const { return plan_.good && bytes(1) <= kRoom; }

  using LoopWay<T>::seconds;
  double seconds(const Frame<T>& f) const override {
    if (bytes(f.batch) > kRoom) return kNever;
    for (int64_t b : plan_.in_rows)
      if (f.row[b] == 0) return kNever;
    for (int64_t b : plan_.in_place)
      if (f.row[b] != 0) return kNever;
    int32_t most = 0;
    for (const WideBlock& b : plan_.blocks) most = std::max(most, b.ops.count);
    return static_cast<double>(plan_.exchanges.size()) * kExchange + most * kOp * static_cast<double>(f.batch);
  }
  void run(const Frame<T>& frame, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    WideCall<T> call = call_;
    call.frame = on_device(frame, sizes_);
    const int64_t step = kWideCopies * frame.batch * plan_.words, room = std::min(kWideSteps, t1 - t0) * step;
    for (int64_t t = t0; t < t1; t += kWideSteps) {
      call.t0 = t, call.t1 = std::min(t1, t + kWideSteps);
      if (room > room_ || tag_ > UINT32_MAX - 2 * static_cast<uint32_t>(kWideSteps)) clear(std::max(room, room_));
      call.told = told_.get(), call.tag = tag_;
      tag_ += static_cast<uint32_t>(call.t1 - call.t0);
      start_wide(call, plan_.blocks, bytes(frame.batch));
    }
  }

 private:
  int64_t bytes(int64_t items) const {
    int64_t most = 0;
    for (const WideBlock& b : plan_.blocks) most = std::max(most, wide_bytes<T>(b, items));
    return most;
  }
  void clear(int64_t room) const {
    if (room > room_) told_.reset(), told_ = allocate<uint64_t>(device_space(), room), room_ = room;
    device_space().zero(told_.get(), room_ * int64_t{sizeof(uint64_t)});
    tag_ = 0;
  }

  const FrameSizes sizes_;
  Tables tables_;
  const WidePlan<T> plan_;
  WideCall<T> call_{};
  mutable Memory<uint64_t> told_;
  mutable int64_t room_ = 0;
  mutable uint32_t tag_ = 0;
};

template <class T>
std::unique_ptr<LoopWay<T>> make(const std::vector<LoopOp>& ops, const Program& program) {
  if (processors() < kWideLanes) return nullptr;
  auto way = std::make_unique<WideKernel<T>>(ops, program);
  if (!way->good()) return nullptr;
  return way;
}

const bool added = [] {
  WayMaker maker;
  maker.name = "wide", maker.run32 = make<float>, maker.run64 = make<double>;
  // Until it has been seen to run on a GPU: blocks that wait for each other may wait long.
  maker.only_if_asked = true;
  add_loop_way(std::move(maker));
  return true;
}();

}  // namespace
}  // namespace cuda
}  // namespace nengo_dl
