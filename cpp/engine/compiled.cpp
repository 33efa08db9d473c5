// Compiles a program for a backend; the face of the engine.
#include <cstdlib>
#include <stdexcept>

#include "engine/backend.h"
#include "engine/hash.h"
#include "engine/isa.h"
#include "engine/run.h"
#include "engine/validate.h"
#include "engine/worker.h"

namespace nengo_dl {
struct Compiled::Impl {
  Program program;
  const Backend& backend;
  const Facts facts;
  std::unique_ptr<Runnable<float>> as32;
  std::unique_ptr<Runnable<double>> as64;

  Impl(std::string_view bytes, const std::string& backend, bool fuse)
      : program(read_program(bytes)), backend(find_backend(backend)), facts(program, Hash().add(bytes).value()) {
    if (program.float64)
      as64 = std::make_unique<Runnable<double>>(facts, this->backend, fuse);
    else
      as32 = std::make_unique<Runnable<float>>(facts, this->backend, fuse);
  }
};

bool fuses() {
  const char* text = std::getenv("NENGO_DL_FUSE");
  return !text || std::string_view(text) != "0";
}

Compiled::Compiled(std::string_view bytes, const std::string& backend, bool fuse) {
  current_isa();  // a bad NENGO_DL_ISA is reported here even if no op asks for a kernel
  impl_.reset(new Impl(bytes, backend, fuse));
}

Compiled::~Compiled() = default;

const Program& Compiled::program() const { return impl_->program; }

namespace {

template <class T>
std::vector<FusedOps> fused_of(const Schedule<T>& schedule) {
  std::vector<FusedOps> result;
  for (size_t r = 0; r < schedule.units.size(); ++r)
    for (const Unit& unit : schedule.units[r])
      if (unit.fusion)
        result.push_back({static_cast<int64_t>(r), static_cast<int64_t>(unit.first), static_cast<int64_t>(unit.count),
                          unit.match.text});
  return result;
}

// As a run would have them run that records nothing and keeps all steps of its outputs.
template <class T>
std::vector<WholeLoop> loops_of(const Schedule<T>& schedule, int64_t batch) {
  const Program& program = schedule.facts.program;
  std::vector<T*> base(program.buffers.size()), outputs(program.outputs.size());
  std::vector<const T*> inputs(program.inputs.size());
  std::vector<int64_t> row(base.size()), item(base.size()), input_steps(inputs.size(), 2),
      output_steps(outputs.size(), 2);
  lay_rows(program, batch, &row, &item);
  Frame<T> frame{};
  frame.base = base.data(), frame.row = row.data(), frame.item = item.data();
  frame.batch = batch, frame.steps = 1, frame.dt = program.dt;
  frame.inputs = inputs.data(), frame.outputs = outputs.data();
  frame.input_steps = input_steps.data(), frame.output_steps = output_steps.data();
  std::vector<WholeLoop> result;
  for (size_t r = 0; r < schedule.stages.size(); ++r) {
    if (!schedule.stages[r].whole) continue;
    const Forecast forecast = schedule.stages[r].whole->forecast(frame);
    result.push_back({static_cast<int64_t>(r), forecast.how, forecast.seconds});
  }
  return result;
}

}  // namespace

std::vector<FusedOps> Compiled::fused() const {
  return impl_->as64 ? fused_of(impl_->as64->schedule) : fused_of(impl_->as32->schedule);
}

std::vector<WholeLoop> Compiled::loops(int64_t batch) const {
  if (batch < 1) throw std::invalid_argument("loops: expected at least 1 item, got " + std::to_string(batch));
  return impl_->as64 ? loops_of(impl_->as64->schedule, batch) : loops_of(impl_->as32->schedule, batch);
}

std::vector<DividedOps> Compiled::divided(int threads) const {
  if (threads < 2) return {};
  return impl_->as64 ? impl_->as64->recipes.divided(threads) : impl_->as32->recipes.divided(threads);
}

const std::string& Compiled::backend() const { return impl_->backend.name(); }

Space& Compiled::space() const { return impl_->backend.space(); }

bool Compiled::on_host() const { return space().on_host(); }

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
