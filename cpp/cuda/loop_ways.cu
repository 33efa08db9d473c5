#include "cuda/loop_ways.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "cuda/device.h"

namespace nengo_dl {
namespace cuda {
namespace {

std::vector<WayMaker>& makers() {
  static auto* const all = new std::vector<WayMaker>;
  return *all;
}

template <class T>
const MakeWay<T>& make_of(const WayMaker& maker, bool back) {
  if constexpr (sizeof(T) == 4)
    return back ? maker.back32 : maker.run32;
  else
    return back ? maker.back64 : maker.run64;
}

template <class T>
struct NamedWay {
  std::string name;
  std::unique_ptr<LoopWay<T>> way;
};

// Several ways to run one loop.
template <class T>
class LoopKernel final : public Kernel<T> {
 public:
  explicit LoopKernel(std::vector<NamedWay<T>> ways) : ways_(std::move(ways)) {}

  void run(const Frame<T>& frame, int64_t t0, int64_t t1) const override { fastest(frame).way->run(frame, t0, t1); }
  void grad(const GradFrame<T>& frame, int64_t t0, int64_t t1) const override {
    fastest(frame).way->grad(frame, t0, t1);
  }
  Forecast forecast(const Frame<T>& frame) const override {
    const NamedWay<T>& best = fastest(frame);
    return {best.name, best.way->seconds(frame)};
  }

 private:
  template <class AnyFrame>
  const NamedWay<T>& fastest(const AnyFrame& frame) const {
    const NamedWay<T>* best = nullptr;
    double least = kNever;
    for (const NamedWay<T>& one : ways_)
      if (const double taken = one.way->seconds(frame); taken < least) best = &one, least = taken;
    if (!best)  // one of them always runs, unless another was asked for
      throw std::runtime_error(
          "NENGO_DL_LOOP_WAY: expected a way that runs this loop with these items and records what is asked for, got "
          "'" +
          ways_[0].name + "', which does not; leave the variable out");
    return *best;
  }

  const std::vector<NamedWay<T>> ways_;
};

// What NENGO_DL_LOOP_WAY names, or null.
const char* asked_for() {
  const char* const name = std::getenv("NENGO_DL_LOOP_WAY");
  std::string known;
  for (const WayMaker& maker : makers()) {
    if (name && maker.name == name) return name;
    known += (known.empty() ? "'" : ", '") + maker.name + "'";
  }
  if (!name) return nullptr;
  throw std::invalid_argument("NENGO_DL_LOOP_WAY: expected one of " + known + ", got '" + name + "'");
}

template <class T>
std::unique_ptr<Kernel<T>> make_loop(const std::vector<LoopOp>& ops, const Program& program, bool back) {
  if (ops.empty()) return nullptr;
  const char* const only = asked_for();
  std::vector<NamedWay<T>> ways;
  bool always = false;
  const auto add = [&](const WayMaker& maker) {
    const MakeWay<T>& make = make_of<T>(maker, back);
    auto way = make ? make(ops, program) : nullptr;
    if (!way) return;
    always = always || way->always();
    ways.push_back({maker.name, std::move(way)});
  };
  for (const WayMaker& maker : makers())
    if (only && maker.name == only) add(maker);
  const bool as_asked = !ways.empty();
  for (const WayMaker& maker : makers())
    if (!as_asked && !maker.only_if_asked) add(maker);
  if (!as_asked && !always) return nullptr;  // what no way is sure to run is run op by op
  return std::make_unique<LoopKernel<T>>(std::move(ways));
}

template <class T, bool Back>
MakeLoop<T> maker() {
  return [](const std::vector<LoopOp>& ops, const Program& program) { return make_loop<T>(ops, program, Back); };
}

const bool added = [] {
  LoopMaker loops;
  loops.run32 = maker<float, false>(), loops.run64 = maker<double, false>();
  loops.back32 = maker<float, true>(), loops.back64 = maker<double, true>();
  device_backend().set_loops(std::move(loops));
  return true;
}();

}  // namespace

void add_loop_way(WayMaker maker) {
  auto& all = makers();
  const auto after = [](const WayMaker& a, const WayMaker& b) { return a.name < b.name; };
  all.insert(std::upper_bound(all.begin(), all.end(), maker, after), std::move(maker));
}

}  // namespace cuda
}  // namespace nengo_dl
