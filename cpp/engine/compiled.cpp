// Compiles a program for a backend; the face of the engine.
#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "engine/backend.h"
#include "engine/hash.h"
#include "engine/isa.h"
#include "engine/run.h"
#include "engine/slice.h"
#include "engine/validate.h"

namespace nengo_dl {
template <class T>
Plan<T>::Plan(const Program& program, uint64_t fingerprint, const Backend& backend, bool fuse)
    : flow(program),
      fingerprint(fingerprint),
      backend(backend),
      fuse(fuse),
      space(backend.space()),
      tiling(backend.tiling()),
      inner(program.buffers.size(), 0) {
  std::vector<int64_t> changed;  // in running order
  for (size_t r = 0; r < program.regions.size(); ++r) {
    stages.push_back({program.regions[r].kind == RegionKind::loop, {}, {}, {}});
    for (const FlowOp& op : flow.stages[r]) {
      stages.back().ops.push_back(make_kernel(*op.compiled, program));
      for (const FlowOperand& o : op.operands) {
        work += static_cast<double>(o.operand->count()) * static_cast<double>(op.record->blocks);
        if (o.written() && o.in_place) changed.push_back(o.operand->buffer);
      }
      parts += static_cast<double>(part_count(*op.record));
      if (op.kind->edge == Edge::python) {
        has_callbacks = true, undo = changed;
        functions = std::max(functions, op.record->integer("index") + 1);
      }
    }
  }
  std::sort(undo.begin(), undo.end());
  undo.erase(std::unique(undo.begin(), undo.end()), undo.end());
  add_units(program);
}

template <class T>
const std::vector<Fusion>& Plan<T>::fusions() const {
  static const std::vector<Fusion> none;
  return fuse ? backend.fusions() : none;
}

template <class T>
void Plan<T>::add_units(const Program& program) {
  for (size_t r = 0; r < stages.size(); ++r) {
    Stage<T>& stage = stages[r];
    units.push_back(find_units(fusions(), program, flow, r));
    for (const Unit& unit : units.back()) {
      if (unit.fusion) {
        const Chain chain(program, flow, r, unit.first);
        stage.fused.push_back(unit.fusion->template make<T>()(chain, unit.match));
        for (int64_t b : unit.match.inner) inner[b] = 1;
      }
      stage.units.push_back(unit.fusion ? stage.fused.back().get() : stage.ops[unit.first].get());
    }
  }
}

template struct Plan<float>;
template struct Plan<double>;

struct Compiled::Impl {
  Program program;
  const Backend& backend;
  std::unique_ptr<Runnable<float>> as32;
  std::unique_ptr<Runnable<double>> as64;
};

bool fuses() {
  const char* text = std::getenv("NENGO_DL_FUSE");
  return !text || std::string_view(text) != "0";
}

Compiled::Compiled(std::string_view bytes, const std::string& backend, bool fuse)
    : impl_(new Impl{read_program(bytes), find_backend(backend), nullptr, nullptr}) {
  current_isa();  // a bad NENGO_DL_ISA is reported here even if no op asks for a kernel
  const uint64_t fingerprint = Hash().add(bytes).value();
  if (impl_->program.float64)
    impl_->as64 = std::make_unique<Runnable<double>>(impl_->program, fingerprint, impl_->backend, fuse);
  else
    impl_->as32 = std::make_unique<Runnable<float>>(impl_->program, fingerprint, impl_->backend, fuse);
}

Compiled::~Compiled() = default;

const Program& Compiled::program() const { return impl_->program; }

std::vector<FusedOps> Compiled::fused() const {
  const auto& regions = impl_->as64 ? impl_->as64->plan.units : impl_->as32->plan.units;
  std::vector<FusedOps> result;
  for (size_t r = 0; r < regions.size(); ++r)
    for (const Unit& unit : regions[r])
      if (unit.fusion)
        result.push_back({static_cast<int64_t>(r), static_cast<int64_t>(unit.first), static_cast<int64_t>(unit.count),
                          unit.match.text});
  return result;
}

std::vector<DividedOps> Compiled::divided(int threads) const {
  if (threads < 2) return {};
  return impl_->as64 ? impl_->as64->recipes.divided(threads) : impl_->as32->recipes.divided(threads);
}

const std::string& Compiled::backend() const { return impl_->backend.name(); }

bool Compiled::on_host() const { return impl_->backend.space().on_host(); }

RunResult Compiled::run(const RunArgs<float>& args) const {
  if (!impl_->as32) throw std::logic_error("run: expected float64 arguments, as the program has, got float32");
  return run_program(*impl_->as32, args);
}

RunResult Compiled::run(const RunArgs<double>& args) const {
  if (!impl_->as64) throw std::logic_error("run: expected float32 arguments, as the program has, got float64");
  return run_program(*impl_->as64, args);
}

int64_t Compiled::tape_bytes(int64_t batch, int64_t n_steps, const TapeOptions& options) const {
  if (batch < 1 || n_steps < 0)
    throw std::invalid_argument("tape_bytes: expected batch and n_steps of at least 1 and 0, got " +
                                std::to_string(batch) + " and " + std::to_string(n_steps));
  return impl_->as64 ? impl_->as64->recipes.tape(batch, n_steps, options)->tape.bytes
                     : impl_->as32->recipes.tape(batch, n_steps, options)->tape.bytes;
}

std::shared_ptr<Tape> Compiled::new_tape(int64_t batch, int64_t n_steps, const TapeOptions& options) const {
  struct Owned {
    Memory<char> memory;
    Tape tape;
  };
  const int64_t bytes = tape_bytes(batch, n_steps, options);
  auto owned = std::make_shared<Owned>();
  owned->memory = allocate<char>(impl_->backend.space(), bytes);
  owned->tape = {owned->memory.get(), bytes, {}};
  return {owned, &owned->tape};
}

void Compiled::grad(const GradArgs<float>& args) const {
  if (!impl_->as32) throw std::logic_error("grad: expected float64 arguments, as the program has, got float32");
  differentiate(*impl_->as32, args);
}

void Compiled::grad(const GradArgs<double>& args) const {
  if (!impl_->as64) throw std::logic_error("grad: expected float32 arguments, as the program has, got float64");
  differentiate(*impl_->as64, args);
}

}  // namespace nengo_dl
