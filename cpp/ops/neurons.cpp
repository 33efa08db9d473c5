// `neurons`: one step of a neuron type (cpp/neurons).
#include "neurons/registry.h"

#include <algorithm>
#include <cmath>

#include "ops/adjoint.h"
#include "ops/util.h"

namespace nengo_dl {
namespace {

// What belongs to the scalar: the right member of a kernel.
inline auto preparer(const NeuronKernel& k, float) { return k.prepare32; }
inline auto preparer(const NeuronKernel& k, double) { return k.prepare64; }
inline auto runner(const NeuronKernel& k, float) { return k.run32; }
inline auto runner(const NeuronKernel& k, double) { return k.run64; }
inline auto backward(const NeuronGradKernel& k, bool straight, float) { return straight ? k.straight32 : k.grad32; }
inline auto backward(const NeuronGradKernel& k, bool straight, double) { return straight ? k.straight64 : k.grad64; }

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

// The bumps in the order of SurrogateKind; and the one that has none.
const std::vector<std::string> kBumps{"superspike", "arctan", "triangle"};
const std::string kStraight = "straight_through";

// Which bump the op has; -1 for none.
int bump_of(const OpRecord& op) {
  const auto found = std::find(kBumps.begin(), kBumps.end(), op.text("surrogate"));
  return found == kBumps.end() ? -1 : static_cast<int>(found - kBumps.begin());
}

void check_surrogate(const OpRecord& op, const NeuronSpec& spec) {
  const bool given = op.attrs.count("surrogate") != 0, width = op.attrs.count("width") != 0;
  if (given && !spec.spikes) op.fail("neuron type '" + spec.name + "' does not spike: it takes no surrogate");
  if (!given && width) op.fail("has a width, but no surrogate");
  if (!given) return;
  if (bump_of(op) < 0 && op.text("surrogate") != kStraight)
    op.fail("unknown surrogate '" + op.text("surrogate") +
            "'; known are superspike, arctan, triangle, straight_through");
  if (bump_of(op) < 0 && !width) return;
  for (double w : per_block(op, "width"))
    if (!(w > 0) || std::isinf(w)) op.fail("the width of a surrogate must be above 0, got " + std::to_string(w));
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
    if (entry.first != "type" && entry.first != "surrogate" && entry.first != "width" &&
        !(spec.draws && entry.first == "rng") && !contains(spec.parameters, entry.first))
      op.fail("neuron type '" + spec.name + "' has no parameter '" + entry.first + "'");
  check_surrogate(op, spec);
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
    set_way_back(op, program, spec);
    values.push_back(width_);
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
      for (size_t i = 0; i < spec.parameters.size(); i++) p.push_back(values[i][run.block]);
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

  bool passes_gradient() const override { return grad_ != nullptr; }

  std::vector<std::string> grad_reads() const override {
    std::vector<std::string> names;
    if (!grad_) return names;
    if (reads_ & 1) names.push_back("J");
    for (size_t s = 0; s < states_.size(); s++)
      if (reads_ >> (s + 1) & 1) names.push_back(states_[s]);
    return names;
  }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (grad_) back(f, t0, t1, Pass::values);
  }

  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (grad_ && constant_ && f.adjoint.base[access_[0].buffer]) back(f, t0, t1, Pass::params);
  }

 private:
  void set_way_back(const OpRecord& op, const Program& program, const NeuronSpec& spec) {
    const bool surrogate = op.attrs.count("surrogate") != 0;
    states_ = spec.states;
    constant_ = in_param(op.arg("J"), program);
    width_ = op.attrs.count("width") ? per_block(op, "width") : std::vector<double>(op.blocks, 1.0);
    if (spec.spikes && !surrogate) return;
    const NeuronGradKernel& kernel = find_neuron_grad_kernel(spec.name);
    const bool straight = surrogate && bump_of(op) < 0;
    if (surrogate && !straight) surrogate_ = static_cast<SurrogateKind>(bump_of(op));
    reads_ = straight ? kernel.straight : kernel.reads;
    grad_ = backward(kernel, straight, T());
  }

  // Steps t1-1 .. t0 in reverse. Pass::params leaves the adjoints of the states as they are.
  void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass) const {
    const Access1 &J = access_[0], &out = access_[1];
    NeuronGradCall<T> call{};
    call.steps = t1 - t0;
    call.surrogate = surrogate_;
    call.J_row = f.value.row[J.buffer];
    call.dJ_row = f.adjoint.row[J.buffer];
    call.out_row = f.adjoint.row[out.buffer];
    for (size_t s = 0; s < states_.size(); s++) {
      call.old_row[s] = f.value.row[access_[s + 2].buffer];
      call.state_row[s] = f.adjoint.row[access_[s + 2].buffer];
    }
    for (int64_t b = 0; b < f.adjoint.batch; b++)
      for (size_t r = 0; r < runs_.size(); r++) {
        const Run& run = runs_[r];
        call.n = run.n;
        call.width = width_[run.block];
        call.J_stride = run.stride[0];
        call.out_stride = run.stride[1];
        call.J = reads_ & 1 ? J.at(f.value, t0, b) + run.offset[0] : nullptr;
        call.out = adjoint_at(f, out, t0, b);
        if (call.out) call.out += run.offset[1];
        call.dJ = constant_ == (pass == Pass::params) ? adjoint_at(f, J, t0, b) : nullptr;
        if (call.dJ) call.dJ += run.offset[0];
        for (size_t s = 0; s < states_.size(); s++) set_state(f, run, s, t0, b, pass, call);
        grad_(models_[r], call);
      }
  }

  void set_state(const GradFrame<T>& f, const Run& run, size_t s, int64_t t, int64_t b, Pass pass,
                 NeuronGradCall<T>& call) const {
    const Access1& o = access_[s + 2];
    call.state_stride[s] = run.stride[s + 2];
    call.old[s] = nullptr;
    // row t of the values is the state before step t in every kind of buffer, whatever the operand's shift
    if (reads_ >> (s + 1) & 1) call.old[s] = o.at(f.value, t, b) - o.shift * f.value.row[o.buffer] + run.offset[s + 2];
    T* next = adjoint_at(f, o, t, b);
    if (next) next += run.offset[s + 2];
    call.next[s] = next;
    call.last[s] = next && pass == Pass::values ? next - old_row(f.adjoint, o) : nullptr;
  }

  std::vector<Access1> access_;  // J, out, states
  std::vector<Run> runs_;
  std::vector<NeuronModel> models_;  // per run
  void (*run_)(const NeuronModel&, const NeuronCall<T>&) = nullptr;
  int64_t rng_ = -1;
  // The way back; grad_ is null if there is none.
  NeuronGrad<T> grad_ = nullptr;
  std::vector<std::string> states_;
  unsigned reads_ = 0;     // bit 0: J, bit s + 1: state s
  bool constant_ = false;  // J is in a param buffer
  SurrogateKind surrogate_ = SurrogateKind::superspike;
  std::vector<double> width_;  // per block
};

OpSpec spec() {
  std::vector<ArgSpec> args{{"J", Access::read, -1}, {"out", Access::write, -1}};
  std::vector<std::string> attrs{"type", "rng", "surrogate", "width"};
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
