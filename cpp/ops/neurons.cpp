// `neurons`: one step of a neuron type (cpp/neurons).
#include "neurons/registry.h"

#include <algorithm>
#include <cmath>

#include "engine/backend.h"
#include "engine/kind.h"
#include "ops/adjoint.h"
#include "ops/util.h"

namespace nengo_dl {
namespace {

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

// The number of the op's surrogate.
int surrogate_of(const OpRecord& op) {
  const std::string name = op.text("surrogate");
  std::string known;
  int number = 0;
  for (const SurrogateSpec& s : surrogate_specs()) {
    if (s.name == name) return number;
    known += (number++ ? ", " : "") + s.name;
  }
  op.fail("unknown surrogate '" + name + "'; known are " + known);
}

bool has_bump(const OpRecord& op) { return surrogate_specs()[surrogate_of(op)].width; }

void check_surrogate(const OpRecord& op, const NeuronSpec& spec) {
  const bool given = op.has("surrogate"), width = op.has("width");
  if (given && !spec.spikes) op.fail("neuron type '" + spec.name + "' does not spike: it takes no surrogate");
  if (!given && width) op.fail("has a width, but no surrogate");
  if (!given || (!has_bump(op) && !width)) return;
  for (double w : op.per_block("width"))
    if (!(w > 0) || std::isinf(w)) op.fail("width of the surrogate: expected more than 0, got " + std::to_string(w));
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
  for (const auto* names : {&spec.parameters, &spec.flags})
    for (const std::string& key : *names)
      if (!op.has(key)) op.fail("attribute '" + key + "' is missing");
  for (const auto& entry : op.attrs)
    if (entry.first != "type" && entry.first != "surrogate" && entry.first != "width" &&
        !(spec.draws && entry.first == "rng") && !contains(spec.parameters, entry.first) &&
        !contains(spec.flags, entry.first))
      op.fail("neuron type '" + spec.name + "' has no parameter '" + entry.first + "'");
  check_surrogate(op, spec);
  if (!spec.draws) return;
  if (op.blocks != 1) op.fail("draws random numbers: expected 1 block, got " + std::to_string(op.blocks));
  check_generator(op, program);
}

// What the way back reads; bit 0: J, bit s + 1: state s.
unsigned reads_of(const OpRecord& op, const NeuronSpec& spec) {
  return spec.spikes && !has_bump(op) ? spec.straight_reads : spec.reads;
}

GradientFacts gradient_by_type(const OpRecord& op) {
  const NeuronSpec& spec = spec_of(op);
  if (spec.spikes && !op.has("surrogate")) return {};
  GradientFacts facts{true, {}};
  const unsigned reads = reads_of(op, spec);
  if (reads & 1) facts.reads.push_back("J");
  for (size_t s = 0; s < spec.states.size(); s++)
    if (reads >> (s + 1) & 1) facts.reads.push_back(spec.states[s]);
  return facts;
}

template <class T>
class NeuronsKernel : public Kernel<T> {
 public:
  NeuronsKernel(const OpRecord& op, const Program& program) {
    const NeuronSpec& spec = spec_of(op);
    const NeuronKernel& kernel = find_neuron_kernel(spec.name);
    run_ = kernel.of<T>().run;
    set_way_back(op, program, spec, kernel);
    std::vector<std::vector<double>> values{width_};
    for (const std::string& key : spec.parameters) values.push_back(op.per_block(key));
    std::vector<const Operand*> operands{&op.arg("J"), &op.arg("out")};
    for (const std::string& state : spec.states) operands.push_back(&op.arg(state));
    for (const Operand* o : operands) views_.emplace_back(*o);
    runs_ = make_runs(operands, op.blocks, [&](int64_t k) {
      for (const auto& v : values)
        if (v[k] != v[k - 1]) return false;
      return true;
    });
    for (const Run& run : runs_) {
      std::vector<double> p;
      for (size_t i = 1; i < values.size(); i++) p.push_back(values[i][run.block]);
      for (const std::string& key : spec.flags) p.push_back(static_cast<double>(op.integer(key)));
      kernel.of<T>().prepare(&models_.emplace_back(), p.data(), program.dt);
    }
    if (spec.draws) rng_ = op.integer("rng");
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    NeuronCall<T> call{};
    call.steps = t1 - t0;
    call.J_row = f.row[views_[0].buffer];
    call.out_row = f.row[views_[1].buffer];
    for (int64_t s = 0; s < states_; s++) call.state_row[s] = call.old_row[s] = old_row(f, views_[s + 2]);
    const bool joined = rng_ < 0 && side_by_side({&f});
    for (int64_t b = 0; b < (joined ? 1 : f.batch); b++) {
      if (rng_ >= 0) call.generator = f.istate + b * f.istate_item + rng_;
      for (size_t r = 0; r < runs_.size(); r++) {
        const Run& run = runs_[r];
        call.n = joined ? run.n * f.batch : run.n;
        call.J = views_[0].at(f, t0, b) + run.offset[0];
        call.J_stride = run.stride[0];
        call.out = views_[1].at(f, t0, b) + run.offset[1];
        call.out_stride = run.stride[1];
        for (int64_t s = 0; s < states_; s++) {
          call.state[s] = views_[s + 2].at(f, t0, b) + run.offset[s + 2];
          call.state_stride[s] = run.stride[s + 2];
        }
        run_(models_[r], call);
      }
    }
  }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override { back(f, t0, t1, Pass::values); }

  bool sets(int64_t) const override { return true; }

  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (constant_ && f.adjoint.base[views_[0].buffer]) back(f, t0, t1, Pass::params);
  }

 private:
  void set_way_back(const OpRecord& op, const Program& program, const NeuronSpec& spec, const NeuronKernel& kernel) {
    states_ = static_cast<int64_t>(spec.states.size());
    constant_ = in_param(op.arg("J"), program);
    width_ = op.has("width") ? op.per_block("width") : std::vector<double>(op.blocks, 1.0);
    if (spec.spikes && !op.has("surrogate")) return;
    const bool straight = spec.spikes && !has_bump(op);
    if (spec.spikes) surrogate_ = surrogate_of(op);
    reads_ = reads_of(op, spec);
    grad_ = straight ? kernel.of<T>().grad_straight : kernel.of<T>().grad;
  }

  // Whether the neurons of one item begin where those of the item before end, so that all are one row: memory is read
  // and written along it.
  bool side_by_side(std::initializer_list<const Frame<T>*> frames) const {
    if (runs_.size() != 1) return false;
    for (const Frame<T>* f : frames)
      for (size_t i = 0; i < views_.size(); i++)
        if (f->base[views_[i].buffer] &&
            (runs_[0].stride[i] < 1 || f->item[views_[i].buffer] != runs_[0].n * runs_[0].stride[i]))
          return false;
    return true;
  }

  // Steps t1-1 .. t0 in reverse. Pass::params leaves the adjoints of the states as they are.
  void back(const GradFrame<T>& f, int64_t t0, int64_t t1, Pass pass) const {
    const View &J = views_[0], &out = views_[1];
    NeuronGradCall<T> call{};
    call.steps = t1 - t0;
    call.surrogate = surrogate_;
    call.set_dJ = f.unset[J.buffer];
    call.J_row = f.value.row[J.buffer];
    call.dJ_row = f.adjoint.row[J.buffer];
    call.out_row = f.adjoint.row[out.buffer];
    for (int64_t s = 0; s < states_; s++) {
      call.old_row[s] = f.value.row[views_[s + 2].buffer];
      call.state_row[s] = f.adjoint.row[views_[s + 2].buffer];
    }
    const bool joined = pass == Pass::values && side_by_side({&f.value, &f.adjoint});
    for (int64_t b = 0; b < (joined ? 1 : f.adjoint.batch); b++)
      for (size_t r = 0; r < runs_.size(); r++) {
        const Run& run = runs_[r];
        call.n = joined ? run.n * f.adjoint.batch : run.n;
        call.width = width_[run.block];
        call.J_stride = run.stride[0];
        call.out_stride = run.stride[1];
        call.J = reads_ & 1 ? J.at(f.value, t0, b) + run.offset[0] : nullptr;
        call.out = adjoint_at(f, out, t0, b);
        if (call.out) call.out += run.offset[1];
        call.dJ = constant_ == (pass == Pass::params) ? adjoint_at(f, J, t0, b) : nullptr;
        if (call.dJ) call.dJ += run.offset[0];
        for (int64_t s = 0; s < states_; s++) set_state(f, run, s, t0, b, pass, call);
        grad_(models_[r], call);
      }
  }

  void set_state(const GradFrame<T>& f, const Run& run, int64_t s, int64_t t, int64_t b, Pass pass,
                 NeuronGradCall<T>& call) const {
    const View& o = views_[s + 2];
    call.state_stride[s] = run.stride[s + 2];
    call.old[s] = nullptr;
    // row t of the values is the state before step t in every kind of buffer, whatever the operand's shift
    if (reads_ >> (s + 1) & 1) call.old[s] = o.at(f.value, t, b) - o.shift * f.value.row[o.buffer] + run.offset[s + 2];
    T* next = adjoint_at(f, o, t, b);
    if (next) next += run.offset[s + 2];
    call.next[s] = next;
    call.last[s] = next && pass == Pass::values ? next - old_row(f.adjoint, o) : nullptr;
  }

  std::vector<View> views_;  // J, out, states
  int64_t states_ = 0;
  std::vector<Run> runs_;
  std::vector<NeuronModel> models_;  // per run
  void (*run_)(const NeuronModel&, const NeuronCall<T>&) = nullptr;
  int64_t rng_ = -1;
  // The way back; grad_ is null if there is none.
  void (*grad_)(const NeuronModel&, const NeuronGradCall<T>&) = nullptr;
  unsigned reads_ = 0;     // bit 0: J, bit s + 1: state s
  bool constant_ = false;  // J is in a param buffer
  int surrogate_ = 0;
  std::vector<double> width_;  // per block
};

Kind kind() {
  Kind k{"neurons", {{"J", Access::read}, {"out", Access::write}}};
  k.attrs = {{"type", AttrType::text},
             {"rng", AttrType::integer, false, true},
             {"surrogate", AttrType::text, false, true},
             {"width", AttrType::number, true, true}};
  for (const NeuronSpec& s : neuron_specs()) {
    for (const std::string& state : s.states)
      if (!k.find_arg(state)) k.args.push_back({state, Access::update, -1, true});
    for (const std::string& key : s.parameters)
      if (!k.find_attr(key)) k.attrs.push_back({key, AttrType::number, true, true});
  }
  for (const NeuronSpec& s : neuron_specs())
    for (const std::string& key : s.flags)
      if (!k.find_attr(key)) k.attrs.push_back({key, AttrType::integer, false, true});
  k.lanes = true;
  k.gradient = Gradient::type;
  k.gradient_by_type = gradient_by_type;
  k.check = check;
  return k;
}

const KindRegistration neurons(kind());
const CpuKernel<NeuronsKernel> kernel("neurons");

}  // namespace
}  // namespace nengo_dl
