// Chains of ops that one kernel runs forward, so that the values between them are never stored. The plain kernels of
// the same ops are the twin: recorded runs and the way back use those.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/flow.h"

namespace nengo_dl {

// The ops of a region from one on, as a fusion looks at them.
class Chain {
 public:
  Chain(const Program& program, const Flow& flow, size_t region, size_t first)
      : program_(program), flow_(flow), stage_(flow.stages[region]), region_(region), first_(first) {}

  const Program& program() const { return program_; }
  bool in_loop() const { return program_.regions[region_].kind == RegionKind::loop; }
  size_t size() const { return stage_.size() - first_; }
  size_t first() const { return first_; }  // of the region's ops
  Chain from(size_t first) const { return {program_, flow_, region_, first}; }
  int64_t uses(int64_t buffer) const { return flow_.uses[buffer]; }  // operands of the program that name it
  const OpRecord& operator[](size_t i) const { return *stage_[first_ + i].compiled; }
  BufferKind kind_of(const Operand& o) const { return program_.buffers[o.buffer].kind; }
  // Whether `o` lies in a buffer that is set anew in every step and that only `uses` operands of the program name.
  bool is_inner(const Operand& o, int64_t uses) const {
    const BufferKind kind = kind_of(o);
    return (kind == BufferKind::window || kind == BufferKind::local) && this->uses(o.buffer) == uses;
  }

 private:
  const Program& program_;
  const Flow& flow_;
  const std::vector<FlowOp>& stage_;
  size_t region_, first_;
};

// What of a chain a fusion runs.
struct Match {
  size_t count = 0;            // ops; 0: it doesn't match
  std::vector<int64_t> inner;  // buffers that lie inside: nothing is stored there
  std::string text;            // what the ops are, for people
};

struct Fusion {
  std::function<Match(const Chain&)> match;
  std::function<std::unique_ptr<Kernel<float>>(const Chain&, const Match&)> make32;
  std::function<std::unique_ptr<Kernel<double>>(const Chain&, const Match&)> make64;

  template <class T>
  const auto& make() const {
    if constexpr (sizeof(T) == 4)
      return make32;
    else
      return make64;
  }
};

// Consecutive ops of a region that run as one, or one op that runs otherwise for what others do.
struct Unit {
  size_t first, count;
  const Fusion* fusion = nullptr;  // null: one op
  Match match = {};
};

// The units of a region; where several fusions match, the longest is taken.
std::vector<Unit> find_units(const std::vector<Fusion>& fusions, const Program& program, const Flow& flow,
                             size_t region);

// In a .cpp of cpp/ops: `const CpuFusion<FusedEnsemble> fusion(match);`, a class template with a constructor
// (const Chain&, const Match&).
template <template <class> class K>
struct CpuFusion {
  explicit CpuFusion(std::function<Match(const Chain&)> match) {
    cpu_backend().add_fusion({std::move(match),
                              [](const Chain& c, const Match& m) { return std::make_unique<K<float>>(c, m); },
                              [](const Chain& c, const Match& m) { return std::make_unique<K<double>>(c, m); }});
  }
};

}  // namespace nengo_dl
