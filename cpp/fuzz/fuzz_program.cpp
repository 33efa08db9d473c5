// Fuzz target: reads a program from bytes and, if it is valid and small, runs it for a few steps and goes back through
// them, once on a tape and once without.
// An input is a program followed by 16 bytes that the data of the run is made of.
#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "engine/engine.h"
#include "fuzz/fuzz.h"
#include "fuzz/mutate.h"

namespace {

using namespace nengo_dl;

constexpr int64_t kMaxElements = int64_t{1} << 13;  // of all buffers, ports and parameters: keeps a run in milliseconds
constexpr int64_t kBatch = 2, kSteps = 3;

// The numbers of a run: zeros, small numbers, any bits at all, or a mix.
class Source {
 public:
  explicit Source(const uint8_t* trailer) { std::memcpy(bytes_, trailer, kTrailer); }

  uint8_t control() const { return bytes_[kTrailer - 1]; }

  template <class T>
  std::vector<T> take(int64_t count) {
    std::vector<T> values(count);
    for (T& v : values) v = one<T>();
    return values;
  }

 private:
  template <class T>
  T one() {
    const uint32_t i = next_++;
    const int mode = control() & 3;
    if (mode == 0) return T(0);
    if (mode == 1 || (mode == 3 && i % 5)) return T((bytes_[i % kTrailer] - 128.0) / (sizeof(T) == 4 ? 16 : 64));
    uint8_t raw[8];
    for (uint32_t k = 0; k < 8; ++k) raw[k] = bytes_[(i * 7 + k) % kTrailer] ^ static_cast<uint8_t>(i >> 4);
    T value;
    std::memcpy(&value, raw, sizeof value);
    return value;
  }

  uint8_t bytes_[kTrailer];
  uint32_t next_ = 0;
};

int64_t bytes_of(const CallbackSite& site, const std::vector<int64_t>& shape) {
  int64_t n = site.float64 ? 8 : 4;
  for (int64_t d : shape) n *= d;
  return n;
}

// Stands for Python: reads all that it is given and writes all that it is asked for, or throws.
struct Host : Callbacks {
  explicit Host(bool fails) : fails(fails) {}
  std::unique_ptr<CallbackRun> start(int64_t) override { return std::make_unique<Run>(this); }

  struct Run : CallbackRun {
    explicit Run(Host* host) : host(host) {}
    void call(const CallbackSite& site, int64_t, double, const void* const* in, void* const* out) override {
      uint8_t sum = 0;
      for (size_t i = 0; i < site.in_shapes.size(); ++i)
        for (int64_t k = 0; k < bytes_of(site, site.in_shapes[i]); ++k) sum ^= static_cast<const uint8_t*>(in[i])[k];
      if (host->fails && ++host->calls == 3) throw std::runtime_error("callback");
      for (size_t i = 0; i < site.out_shapes.size(); ++i) std::memset(out[i], sum, bytes_of(site, site.out_shapes[i]));
    }
    Host* host;
  };

  bool fails;
  int calls = 0;
};

bool is_small(const Program& p) {
  int64_t total = p.state_size + p.istate_size;
  for (const Buffer& b : p.buffers) total += b.size;
  for (const Param& q : p.params) total += q.size;
  for (const Port& q : p.inputs) total += q.size;
  for (const Port& q : p.outputs) total += q.size;
  int64_t work = 0;
  for (const Region& r : p.regions)
    for (const OpRecord& op : r.ops)
      for (const auto& entry : op.args) {
        work += std::min(kMaxElements * 64, entry.second.count()) * std::min<int64_t>(kMaxElements * 64, op.blocks);
        if (work > kMaxElements * 64) return false;
      }
  return total <= kMaxElements;
}

bool calls_functions(const Program& p) {
  for (const Region& r : p.regions)
    for (const OpRecord& op : r.ops)
      if (op.kind == "callback") return true;
  return false;
}

// The data of a run, and what its gradient is made of.
template <class T>
struct Case {
  Case(const Compiled& compiled, Source source) : compiled(compiled), source(source), host(source.control() & 4) {
    const Program& p = compiled.program();
    args.batch = kBatch, args.n_steps = kSteps, args.threads = source.control() & 8 ? 2 : 1;
    args.first_step = source.control() & 16 ? INT64_MAX / 4 : 0;
    args.callbacks = &host;
    for (const Port& q : p.inputs) inputs.push_back(source.take<T>(q.size * kBatch * kSteps));
    for (const Param& q : p.params) params.push_back(source.take<T>(q.size * (q.learned ? kBatch : 1)));
    for (const Port& q : p.outputs) {
      args.keep_last.push_back(source.control() & 32 ? 1 : 0);
      outputs.emplace_back(q.size * kBatch * (args.keep_last.back() ? 1 : kSteps));
    }
    state = source.take<T>(p.state_size * kBatch);
    istate = source.take<int32_t>(p.istate_size * kBatch);
    for (auto& v : inputs) args.inputs.push_back(v.data());
    for (auto& v : params) args.params.push_back(v.data());
    for (auto& v : outputs) args.outputs.push_back(v.data());
    args.state = state.data(), args.istate = istate.data();
  }

  void back(const RunArgs<T>& before, const Tape* tape) {
    const Program& p = compiled.program();
    GradArgs<T> grad;
    std::vector<std::vector<T>> memory;
    auto add = [&](int64_t size, int skip) -> T* {
      if (source.control() % 7 == skip) return nullptr;
      memory.push_back(source.take<T>(size));
      return memory.back().data();
    };
    grad.run = before, grad.tape = tape;
    for (size_t i = 0; i < outputs.size(); ++i) grad.output_grads.push_back(add(outputs[i].size(), 1));
    for (size_t i = 0; i < params.size(); ++i)
      grad.learned_grads.push_back(p.params[i].learned ? add(params[i].size(), 2) : nullptr);
    grad.state_out_grad = add(state.size(), 3);
    for (auto& v : inputs) grad.input_grads.push_back(add(v.size(), 4));
    for (auto& v : params) grad.param_grads.push_back(add(v.size(), 5));
    grad.state_grad = add(state.size(), 6);
    compiled.grad(grad);
  }

  const Compiled& compiled;
  Source source;
  Host host;
  std::vector<std::vector<T>> inputs, params, outputs;
  std::vector<T> state;
  std::vector<int32_t> istate;
  RunArgs<T> args;
};

template <class T>
void run(const Compiled& compiled, Source source) {
  Case<T> plain(compiled, source);
  compiled.run(plain.args);
  Case<T> recorded(compiled, source);
  const Case<T> before(compiled, source);
  TapeOptions& options = recorded.args.record;
  options.memory = source.control() & 64 ? 0 : source.control() & 128 ? 4096 : -1;
  const std::shared_ptr<Tape> tape = compiled.new_tape(kBatch, kSteps, options);  // ProgramError: no gradient
  recorded.args.tape = tape.get();
  const bool complete = compiled.run(recorded.args).steps == kSteps;
  RunArgs<T> run = before.args;
  run.record = options;
  if (complete) recorded.back(run, tape.get());
  if (!calls_functions(compiled.program())) recorded.back(run, nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < kTrailer) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size - kTrailer);
  try {
    const Compiled compiled(bytes);
    if (!is_small(compiled.program())) return 0;
    const Source source(data + size - kTrailer);
    if (compiled.program().float64)
      run<double>(compiled, source);
    else
      run<float>(compiled, source);
  } catch (const ProgramError&) {
    return 0;
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  return mutate::mutate(data, size, max_size, seed);
}
