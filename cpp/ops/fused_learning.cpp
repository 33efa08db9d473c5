// Weights that a learning rule changes. Nengo adds the change of the step before (`copy`) when a step begins, and makes
// the next one (the rule) when it ends: three passes over memory as large as the weights. Within a window the rule adds
// what it makes at once, a row at a time, and `copy` does nothing: the same sums. Where a window begins and ends the
// change lies in its state, so that nobody sees a difference.
#include <optional>

#include "engine/fusion.h"
#include "engine/op_util.h"
#include "ops/learning_rule.h"

namespace nengo_dl {
namespace {

// All but the shift, which says nothing of a run forward.
bool same_elements(const Operand& a, const Operand& b) {
  return a.buffer == b.buffer && a.shape == b.shape && a.strides == b.strides && a.offsets == b.offsets;
}

bool lies_in_place(BufferKind kind) { return kind == BufferKind::state || kind == BufferKind::learned; }

// Operands of an op that read a buffer, as products, probes and rules read weights.
int64_t reads(const OpRecord& op, int64_t buffer) {
  int64_t count = 0;
  for (const auto& entry : op.args) {
    const bool matrix = op.kind == "dense" && entry.first == "A", source = entry.first == "src";
    const bool weights = is_rule(op) && (entry.first == "weights" || entry.first == "scaled_encoders");
    count += entry.second.buffer == buffer && (matrix || source || weights);
  }
  return count;
}

// For a chain that begins with the `copy`: the place of the rule in it. Between the two, all that ever reads the
// weights, and nothing else that changes them.
std::optional<size_t> find_rule(const Chain& chain) {
  const OpRecord& copy = chain[0];
  if (!chain.in_loop() || copy.kind != "copy" || copy.set()) return {};
  const Operand &weights = copy.arg("dst"), &delta = copy.arg("src");
  if (delta.shape.size() != 2 || weights.shape != delta.shape || weights.buffer == delta.buffer) return {};
  if (!lies_in_place(chain.kind_of(weights)) || chain.kind_of(delta) != BufferKind::state) return {};
  if (chain.uses(delta.buffer) != 2) return {};
  int64_t seen = 1;
  for (size_t i = 1; i < chain.size(); ++i) {
    seen += reads(chain[i], weights.buffer);
    if (!is_rule(chain[i]) || !same_elements(chain[i].arg("delta"), delta)) continue;
    if (seen == chain.uses(weights.buffer)) return i;
    return {};
  }
  return {};
}

// For a chain that begins with the rule: the place of the `copy` in the region.
std::optional<size_t> find_copy(const Chain& chain) {
  if (!is_rule(chain[0])) return {};
  for (size_t i = 0; i < chain.first(); ++i)
    if (find_rule(chain.from(i)) == chain.first() - i) return i;
  return {};
}

template <class T>
std::unique_ptr<Kernel<T>> plain(const Chain& chain) {
  return cpu_backend().find_kernel(chain[0].kind).make<T>()(chain[0], chain.program());
}

template <class T>
class FirstChange : public Kernel<T> {
 public:
  FirstChange(const Chain& chain, const Match&) : copy_(plain<T>(chain)) {}
  void run(const Frame<T>& f, int64_t t0, int64_t) const override {
    if (t0 == 0) copy_->run(f, 0, 1);
  }

 private:
  std::unique_ptr<Kernel<T>> copy_;
};

template <class T>
class AddedChange : public Kernel<T> {
 public:
  AddedChange(const Chain& chain, const Match&)
      : rule_(plain<T>(chain)), weights_(chain.from(*find_copy(chain))[0].arg("dst")) {}
  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    static_cast<const Rule<T>&>(*rule_).run_into(f, t0, t1, t1 < f.steps ? &weights_ : nullptr);
  }

 private:
  std::unique_ptr<Kernel<T>> rule_;
  const View weights_;
};

Match match_copy(const Chain& chain) {
  return find_rule(chain) ? Match{1, {}, "change weights, once in a window"} : Match{};
}

Match match_rule(const Chain& chain) {
  return find_copy(chain) ? Match{1, {}, chain[0].kind + ", change weights"} : Match{};
}

const CpuFusion<FirstChange> copy(match_copy);
const CpuFusion<AddedChange> rule(match_rule);

}  // namespace
}  // namespace nengo_dl
