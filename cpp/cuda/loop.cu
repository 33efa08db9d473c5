// Makes the kernels of loop regions: islands, barriers, and how many threads are worth it.
#include "cuda/loop.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "cuda/loop_order.h"
#include "cuda/loop_ways.h"
#include "engine/islands.h"

namespace nengo_dl {
namespace cuda {
namespace {

template <class T>
using Make = void (*)(const OpRecord&, const Program&, Tables&, AnyOp<T>*);

template <class T, template <class> class Op>
void make(const OpRecord& record, const Program& program, Tables& tables, AnyOp<T>* any) {
  any->hold(Op<T>(record, program, tables));
}

// The compact form of an op for a loop, if it has one.
template <class T, class Op>
void hold_flat(AnyOp<T>* any, int32_t number, const std::optional<Op>& flat) {
  if (flat) any->hold(*flat), any->number = number;
}
template <class T>
void make_flat(const OpRecord& record, Tables& tables, AnyOp<T>* any) {
  const AnyOp<T> whole = *any;
  whole.visit([&](const auto& op) {
    using Op = std::decay_t<decltype(op)>;
    if constexpr (std::is_same_v<Op, CopyOp<T>>)
      hold_flat(any, number_of_flat_copy, FlatCopyOp<T>::of(op));
    else if constexpr (std::is_same_v<Op, ElementwiseOp<T>>)
      hold_flat(any, number_of_flat_elementwise, FlatElementwiseOp<T>::of(op));
    else if constexpr (std::is_same_v<Op, LowpassOp<T>>)
      hold_flat(any, number_of_flat_lowpass, FlatLowpassOp<T>::of(op, record));
    else if constexpr (std::is_same_v<Op, NeuronsOp<T>>)
      hold_flat(any, number_of_flat_neurons, FlatNeuronsOp<T>::of(op, record, tables));
    else if constexpr (std::is_same_v<Op, DenseOp<T>>)
      hold_flat(any, number_of_flat_dense, FlatDenseOp<T>::of(op, tables));
  });
}

// Null for a kind that has no such form.
template <class T>
std::pair<int32_t, Make<T>> find(const std::string& kind) {
  static const std::map<std::string, std::pair<int32_t, Make<T>>> table = {
#define NDL_MAKE_OP(kind, Op) {#kind, {number_of_##kind, &make<T, Op>}},
      NDL_DEVICE_OPS(NDL_MAKE_OP)
#undef NDL_MAKE_OP
  };
  const auto it = table.find(kind);
  return it == table.end() ? std::pair<int32_t, Make<T>>{-1, nullptr} : it->second;
}

template <class T>
bool has_all(const std::vector<LoopOp>& ops) {
  return std::all_of(ops.begin(), ops.end(), [](const LoopOp& op) { return find<T>(op.op->kind).second != nullptr; });
}

// What a step of a share costs with so many threads.
struct Cost {
  int64_t passes = 0, waits = 0, widest = 0;  // rounds of all threads; barriers; threads that one phase can use
};

constexpr int kMostThreads = 512;
constexpr int64_t kMostWork = UINT32_MAX;  // of a phase: compact ops count in 32 bits
// Seconds on an H100, within 1.5 times of what was measured (bench/README.md): a round of a block's threads, and of
// each of them, a barrier; the same where all processors share.
constexpr double kRound = 0.6e-6, kThread = 2.4e-9, kBarrier = 0.04e-6, kSharedRound = 2.7e-6, kSharedBarrier = 1.2e-6;

// What both ways have in common.
template <class T>
class LoopBase {
 public:
  explicit LoopBase(const Program& p, bool back) : sizes_(p) {
    call_.buffers = static_cast<int32_t>(p.buffers.size());
    call_.inputs = static_cast<int32_t>(p.inputs.size()), call_.outputs = static_cast<int32_t>(p.outputs.size());
    call_.input_sizes = tables_.add(widths(p.inputs)), call_.output_sizes = tables_.add(widths(p.outputs));
    call_.back = back;
  }

 protected:
  void finish(const std::vector<int32_t>& first) {
    call_.ops = tables_.add(ops_), call_.first = tables_.add(first);
    first_ = first;
    shape_.shares = static_cast<int64_t>(first.size()) - 1;
    for (size_t s = 0; s + 1 < first.size(); ++s) {
      shape_.most_ops = std::max<int64_t>(shape_.most_ops, first[s + 1] - first[s]);
      if (first[s + 1] - first[s] > first_[heaviest_ + 1] - first_[heaviest_]) heaviest_ = s;
    }
    shape_.stage_ops = shape_.most_ops * static_cast<int64_t>(sizeof(AnyOp<T>)) + staged_bytes(call_) < close_bytes();
  }

  bool fits() const { return staged_bytes(call_) < close_bytes(); }

  // `cost(batch, threads)` of the share with most ops.
  template <class F>
  LoopShape choose(int64_t batch, LoopCall<T>* call, F cost) const {
    LoopShape best = shape_;
    const int64_t cores = processors();
    double least = 0;
    const int64_t fewest = one_group_ ? batch : 1;
    for (int64_t items = fewest;; items = std::min(batch, 2 * items)) {
      const int threads =
          static_cast<int>(std::clamp<int64_t>((cost(items, kMostThreads).widest + 31) / 32 * 32, 64, kMostThreads));
      const Cost c = cost(items, threads);
      if (items > fewest && c.widest > kMostWork) break;
      const int64_t groups = (batch + items - 1) / items, resident = cores * (kMostThreads / threads);
      const auto waves = static_cast<double>((shape_.shares * groups + resident - 1) / resident);
      const double round = kRound + kThread * threads;
      const double seconds = waves * (static_cast<double>(c.passes) * round + static_cast<double>(c.waits) * kBarrier);
      if (items == fewest || seconds < least)
        least = best.seconds = seconds, best.threads = threads, call->items = items;
      if (items == batch) break;
    }
    if (shape_.shares > 1 || (sizeof(T) == 8 && call->back)) return best;
    const Cost c = cost(batch, kMostThreads * cores);
    const double seconds = static_cast<double>(c.passes) * kSharedRound + static_cast<double>(c.waits) * kSharedBarrier;
    if (seconds < least && c.widest <= kMostWork)
      best.together = true, best.threads = kMostThreads, best.blocks = cores, best.seconds = seconds,
      call->items = batch;
    return best;
  }

  // Of a phase.
  static void count(Cost& c, int64_t work, bool teams, int64_t length, int64_t threads) {
    const int64_t lanes = work * (teams ? 32 : 1);
    c.passes += (lanes + threads - 1) / threads * length;
    c.widest = std::max(c.widest, lanes);
  }

  const FrameSizes sizes_;
  Tables tables_;
  std::vector<AnyOp<T>> ops_;
  std::vector<int32_t> first_;
  size_t heaviest_ = 0;
  bool one_group_ = false;  // all items are one block's: it adds up what they give to one parameter
  LoopCall<T> call_{};
  LoopShape shape_{};

 private:
  static std::vector<int64_t> widths(const std::vector<Port>& ports) {
    std::vector<int64_t> sizes;
    for (const Port& p : ports) sizes.push_back(p.size);
    return sizes;
  }
};

template <class T>
class LoopRunKernel final : public LoopWay<T>, LoopBase<T> {
 public:
  LoopRunKernel(const std::vector<LoopOp>& ops, const Program& program) : LoopBase<T>(program, false) {
    constexpr int kMostShares = 132 * 8;
    Region region{RegionKind::loop, {}};
    for (const LoopOp& op : ops) region.ops.push_back(*op.op);
    std::vector<int32_t> first{0};
    for (const auto& share : share_islands(program, region, kMostShares)) {
      Order order;
      for (const OpRecord& record : share) {
        AnyOp<T>& any = this->ops_.emplace_back();
        const auto [number, make] = find<T>(record.kind);
        any.number = number;
        make(record, program, this->tables_, &any);
        make_flat(record, this->tables_, &any);
        any.waits = order.waits(touches(record, program));
      }
      first.push_back(static_cast<int32_t>(this->ops_.size()));
    }
    this->finish(first);
  }

  bool good() const { return this->fits(); }
  bool always() const override { return true; }
  using LoopWay<T>::seconds;
  double seconds(const Frame<T>& frame) const override {
    LoopCall<T> call = this->call_;
    return shape_of(frame, &call).seconds;
  }
  void run(const Frame<T>& frame, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    RunLoop<T> loop{this->call_, on_device(frame, this->sizes_)};
    loop.call.t0 = t0, loop.call.t1 = t1;
    const LoopShape shape = shape_of(frame, &loop.call);
    turn_weights(loop.frame);
    if (shape.together) return start_loop_together(loop, shape);
    start_loop(loop, shape, (frame.batch + loop.call.items - 1) / loop.call.items);
  }

 private:
  LoopShape shape_of(const Frame<T>& frame, LoopCall<T>* call) const {
    return this->choose(frame.batch, call, [&](int64_t batch, int64_t threads) {
      Frame<T> some = frame;
      some.batch = batch;
      return cost(some, threads);
    });
  }
  void turn_weights(const Frame<T>& there) const {
    for (const AnyOp<T>& any : this->ops_) {
      if (any.number != number_of_flat_dense) continue;
      const auto& op = *reinterpret_cast<const FlatDenseOp<T>*>(any.bytes);
      if (op.turned) launch<false>(TurnWeights<T>{op, there}, int64_t{op.count} * op.n);
    }
  }

  Cost cost(const Frame<T>& frame, int64_t threads) const {
    Cost c;
    for (int32_t i = this->first_[this->heaviest_]; i < this->first_[this->heaviest_ + 1]; ++i) {
      c.waits += this->ops_[i].waits;
      this->ops_[i].visit([&](const auto& op) {
        using Op = std::decay_t<decltype(op)>;
        each_phase<0, Op::phases>([&](auto phase) {
          constexpr int P = decltype(phase)::value;
          c.waits += P > 0;
          LoopBase<T>::count(c, op.template work<P>(frame, 1), Op::knows_teams && op.teams(P), op.length(P), threads);
        });
      });
    }
    ++c.waits;
    return c;
  }
};

// All ops are one share: what several islands have only read forward they add to on the way back.
template <class T>
class LoopBackKernel final : public LoopWay<T>, LoopBase<T> {
 public:
  LoopBackKernel(const std::vector<LoopOp>& ops, const Program& program) : LoopBase<T>(program, true) {
    for (const LoopOp& op : ops) {
      // on the way back what an op overwrote is cleared after it, so that its clearing stands before it
      for (const auto& [view, elements] : op.cleared) add_clearing(view, *elements);
      AnyOp<T>& any = this->ops_.emplace_back();
      const auto [number, make] = find<T>(op.op->kind);
      any.number = number, any.passes = op.passes, any.params = op.params;
      this->one_group_ = this->one_group_ || op.params;
      make(*op.op, program, this->tables_, &any);
      touched_.resize(this->ops_.size());
      touched_.back() = touches_back(*op.op);
    }
    Order order;
    for (size_t i = this->ops_.size(); i-- > 0;) this->ops_[i].waits = order.waits(touched_[i]);
    this->finish({0, static_cast<int32_t>(this->ops_.size())});
  }

  bool always() const override { return true; }
  bool good() const {
    bool all = this->fits();
    for (const AnyOp<T>& any : this->ops_) any.visit([&](const auto& op) { all = all && op.loops_back(); });
    return all;
  }
  using LoopWay<T>::seconds;
  double seconds(const GradFrame<T>& frame) const override {
    LoopCall<T> call = this->call_;
    return shape_of(frame, &call).seconds;
  }
  void run(const Frame<T>&, int64_t, int64_t) const override {
    throw std::logic_error("a kernel of the way back of a loop runs nothing forward");
  }
  void grad(const GradFrame<T>& frame, int64_t t0, int64_t t1) const override {
    const std::lock_guard<std::recursive_mutex> hold(launching());
    BackLoop<T> loop{this->call_, on_device(frame, this->sizes_)};
    loop.call.t0 = t0, loop.call.t1 = t1;
    const LoopShape shape = shape_of(frame, &loop.call);
    if (shape.together) return start_loop_together(loop, shape);
    start_loop(loop, shape, (frame.adjoint.batch + loop.call.items - 1) / loop.call.items);
  }

 private:
  LoopShape shape_of(const GradFrame<T>& frame, LoopCall<T>* call) const {
    return this->choose(frame.adjoint.batch, call, [&](int64_t items, int64_t threads) {
      GradFrame<T> some = frame;
      some.value.batch = some.adjoint.batch = items;
      return cost(some, threads);
    });
  }
  void add_clearing(const View& view, const std::vector<int64_t>& elements) {
    ClearOp<T> clear{};
    clear.view = view, clear.view.offsets = nullptr;
    clear.elements = this->tables_.add(elements), clear.count = static_cast<int64_t>(elements.size());
    AnyOp<T>& any = this->ops_.emplace_back();
    any.number = number_of_clear, any.passes = true;
    any.hold(clear);
    touched_.resize(this->ops_.size());
    if (elements.empty()) return;
    const auto [lowest, highest] = std::minmax_element(elements.begin(), elements.end());
    touched_.back() = {{view.buffer, 0, *lowest, *highest, true}};
  }

  Cost cost(const GradFrame<T>& frame, int64_t threads) const {
    Cost c;
    for (const AnyOp<T>& any : this->ops_) {
      c.waits += any.waits;
      any.visit([&](const auto& op) {
        using Op = std::decay_t<decltype(op)>;
        each_phase<0, Op::back_phases>([&](auto phase) {
          constexpr int P = decltype(phase)::value;
          c.waits += P > 0;
          LoopBase<T>::count(c, op.template back_work<P>(frame, 1, Pass::values),
                             Op::needs_back_teams && op.back_teams(P), op.back_length(P), threads);
        });
      });
    }
    ++c.waits;
    return c;
  }

  std::vector<std::vector<Touch>> touched_;
};

template <class T, template <class> class K>
MakeWay<T> maker() {
  return [](const std::vector<LoopOp>& ops, const Program& program) -> std::unique_ptr<LoopWay<T>> {
    if (!has_all<T>(ops)) return nullptr;
    auto way = std::make_unique<K<T>>(ops, program);
    if (!way->good()) return nullptr;
    return way;
  };
}

const bool added = [] {
  add_loop_way({"op by op", maker<float, LoopRunKernel>(), maker<float, LoopBackKernel>(),
                maker<double, LoopRunKernel>(), maker<double, LoopBackKernel>()});
  return true;
}();

}  // namespace

#ifdef __CUDACC__
int64_t processors() {
  static const int64_t count = gpu_fact(cudaDevAttrMultiProcessorCount);
  return count;
}
int64_t block_bytes() {
  static const int64_t bytes = gpu_fact(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  return bytes;
}
#else
int64_t processors() { return 132; }  // an H100's
int64_t block_bytes() { return 227 << 10; }
#endif
int64_t close_bytes() { return std::min<int64_t>(block_bytes() - 2048, 96 << 10); }

}  // namespace cuda
}  // namespace nengo_dl
