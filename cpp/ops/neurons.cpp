// `neurons`: one step of a neuron type (cpp/neurons).
#include "neurons/registry.h"

#include "ops/util.h"

namespace nengo_dl {
namespace {

// What belongs to the scalar: the right member of a kernel.
inline auto preparer(const NeuronKernel& k, float) { return k.prepare32; }
inline auto preparer(const NeuronKernel& k, double) { return k.prepare64; }
inline auto runner(const NeuronKernel& k, float) { return k.run32; }
inline auto runner(const NeuronKernel& k, double) { return k.run64; }

// A parameter is a float attribute; `negative` may be an integer.
std::vector<double> parameter(const OpRecord& op, const std::string& key) {
  const auto found = op.attrs.find(key);
  if (found != op.attrs.end() && std::holds_alternative<int64_t>(found->second))
    return std::vector<double>(op.blocks, static_cast<double>(op.integer(key)));
  if (found != op.attrs.end() && std::holds_alternative<double>(found->second))
    return std::vector<double>(op.blocks, op.number(key));
  return per_block(op, key);
}

const NeuronSpec& spec_of(const OpRecord& op) {
  const std::string type = op.text("type");
  const NeuronSpec* spec = find_neuron_spec(type);
  if (spec) return *spec;
  std::string known;
  for (const NeuronSpec& s : neuron_specs()) known += (known.empty() ? "" : ", ") + s.name;
  op.fail("unknown neuron type '" + type + "'; known are " + known);
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  for (const std::string& n : names)
    if (n == name) return true;
  return false;
}

void check(const OpRecord& op, const Program& program) {
  const NeuronSpec& spec = spec_of(op);
  const std::vector<int64_t> n{op.arg("J").count()};
  need_shape(op, "J", n);
  need_shape(op, "out", n);
  for (const std::string& state : spec.states) need_shape(op, state, n);
  for (const auto& entry : op.args)
    if (entry.first != "J" && entry.first != "out" && !contains(spec.states, entry.first))
      op.fail("neuron type '" + spec.name + "' has no state '" + entry.first + "'");
  for (const std::string& key : spec.parameters) parameter(op, key);
  for (const auto& entry : op.attrs)
    if (entry.first != "type" && !(spec.draws && entry.first == "rng") && !contains(spec.parameters, entry.first))
      op.fail("neuron type '" + spec.name + "' has no parameter '" + entry.first + "'");
  if (!spec.draws) return;
  check_one_block(op);
  check_generator(op, program);
}

template <class T>
class NeuronsOp : public Op<T> {
 public:
  NeuronsOp(const OpRecord& op, const Program& program) {
    const NeuronSpec& spec = spec_of(op);
    const NeuronKernel& kernel = find_neuron_kernel(spec.name);
    run_ = runner(kernel, T());
    std::vector<std::vector<double>> values;
    for (const std::string& key : spec.parameters) values.push_back(parameter(op, key));
    std::vector<const Operand*> operands{&op.arg("J"), &op.arg("out")};
    for (const std::string& state : spec.states) operands.push_back(&op.arg(state));
    for (const Operand* o : operands) access_.emplace_back(*o);
    runs_ = make_runs(operands, op.blocks, [&](int64_t k) {
      for (const auto& v : values)
        if (v[k] != v[k - 1]) return false;
      return true;
    });
    for (const Run& run : runs_) {
      std::vector<double> p;
      for (const auto& v : values) p.push_back(v[run.block]);
      models_.emplace_back();
      preparer(kernel, T())(&models_.back(), p.data(), program.dt);
    }
    if (spec.draws) rng_ = op.integer("rng");
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    NeuronCall<T> call{};
    call.steps = t1 - t0;
    call.J_row = f.row[access_[0].buffer];
    call.out_row = f.row[access_[1].buffer];
    const int states = static_cast<int>(access_.size()) - 2;
    for (int s = 0; s < states; s++) call.state_row[s] = call.old_row[s] = old_row(f, access_[s + 2]);
    for (int64_t b = 0; b < f.batch; b++) {
      if (rng_ >= 0) call.generator = f.istate + b * f.istate_item + rng_;
      for (size_t r = 0; r < runs_.size(); r++) {
        const Run& run = runs_[r];
        call.n = run.n;
        call.J = access_[0].at(f, t0, b) + run.offset[0];
        call.J_stride = run.stride[0];
        call.out = access_[1].at(f, t0, b) + run.offset[1];
        call.out_stride = run.stride[1];
        for (int s = 0; s < states; s++) {
          call.state[s] = access_[s + 2].at(f, t0, b) + run.offset[s + 2];
          call.state_stride[s] = run.stride[s + 2];
        }
        run_(models_[r], call);
      }
    }
  }

 private:
  std::vector<Access1> access_;  // J, out, states
  std::vector<Run> runs_;
  std::vector<NeuronModel> models_;  // per run
  void (*run_)(const NeuronModel&, const NeuronCall<T>&) = nullptr;
  int64_t rng_ = -1;
};

OpSpec spec() {
  std::vector<ArgSpec> args{{"J", Access::read, -1}, {"out", Access::write, -1}};
  std::vector<std::string> attrs{"type", "rng"};
  std::vector<std::string> seen;
  for (const NeuronSpec& s : neuron_specs()) {
    for (const std::string& state : s.states) {
      if (contains(seen, state)) continue;
      seen.push_back(state);
      args.push_back({state, Access::update, -1, true});
    }
    for (const std::string& key : s.parameters)
      if (!contains(attrs, key)) attrs.push_back(key);
  }
  return make_spec<NeuronsOp>("neurons", args, attrs, check);
}

OpRegistration registration(spec());

}  // namespace
}  // namespace nengo_dl
