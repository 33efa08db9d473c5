// Fusion of an ensemble: encode, neurons, decoders and the filters behind them.
#include <algorithm>
#include <map>
#include <numeric>

#include "engine/fusion.h"
#include "engine/op_util.h"
#include "kernels/ensemble.h"
#include "neurons/registry.h"
#include "ops/dense_args.h"
#include "ops/finite.h"

namespace nengo_dl {
namespace {

const EnsembleKernel* find_ensemble_kernel(const std::string& neurons) {
  int count = 0;
  const EnsembleKernel* table = NDL_PICK(ensemble_kernels)(&count);
  for (int i = 0; i < count; ++i)
    if (neurons == table[i].neurons) return table + i;
  return nullptr;
}

bool same_elements(const Operand& a, const Operand& b) {
  return a.buffer == b.buffer && a.shift == b.shift && a.shape == b.shape && a.strides == b.strides &&
         a.offsets == b.offsets;
}

bool side_by_side(const Operand& o) { return o.count() == 1 || (o.strides.size() == 1 && o.strides[0] == 1); }

// A product whose weights are the same for all steps and items.
bool is_product(const Chain& chain, size_t i) {
  if (i >= chain.size() || chain[i].kind != "dense") return false;
  const Operand* bias = chain[i].find_arg("bias");
  return chain.kind_of(chain[i].arg("A")) == BufferKind::param && (!bias || chain.kind_of(*bias) == BufferKind::param);
}

// Sums that begin with 0 and whose weights lie column by column: those of silent neurons may be left out.
template <class T>
bool lies_by_columns(const DenseArgs<T>& d, bool has_bias) {
  return d.set && !has_bias && dense_function(d, has_bias) == NDL_PICK_TYPED(T, dense_cols);
}

// The ensemble that each block of a product reads, all of it; none if one reads anything else. Blocks that add to what
// is there keep their order.
std::vector<int64_t> sources(const OpRecord& op, const Operand& out) {
  const Operand& x = op.arg("X");
  if (x.buffer != out.buffer || x.shift != out.shift || x.shape != out.shape || x.strides != out.strides) return {};
  if (!op.set() && x.offsets != out.offsets) return {};
  std::map<int64_t, int64_t> ensembles;
  for (size_t i = 0; i < out.offsets.size(); ++i) ensembles[out.offsets[i]] = static_cast<int64_t>(i);
  std::vector<int64_t> found;
  for (int64_t offset : x.offsets) {
    const auto it = ensembles.find(offset);
    if (it == ensembles.end()) return {};
    found.push_back(it->second);
  }
  return found;
}

// What of a chain belongs to its first two ops: places of ops.
struct Parts {
  std::vector<size_t> decodes, filters;

  explicit Parts(const Chain& chain) {
    for (size_t i = 2; i < chain.size(); ++i)
      if (decodes.size() < kMaxDecodes && is_product(chain, i) && !sources(chain[i], chain[1].arg("out")).empty())
        decodes.push_back(i);
      else if (chain.in_loop() && filters_one(chain, chain[i]))
        filters.push_back(i);
      else
        break;
  }
  size_t count() const { return 2 + decodes.size() + filters.size(); }

 private:
  bool filters_one(const Chain& chain, const OpRecord& op) const {
    return op.kind == "lowpass" && std::any_of(decodes.begin(), decodes.end(), [&](size_t i) {
             return op.arg("x").buffer == chain[i].arg("Y").buffer;
           });
  }
};

// Where one pass over an ensemble was measured to be faster than three: in loops, one number to one number in registers
// (in sequences, where the rows of many steps lie together, the plain kernels are as fast), or decoders that lie column
// by column, of which those of neurons that fired are taken.
template <class T>
bool pays(const Chain& chain, const Parts& parts) {
  const OpRecord& first = chain[parts.decodes[0]];
  const DenseArgs<T> e = dense_args<T>(chain[0]), d = dense_args<T>(first);
  if (chain.in_loop() && parts.decodes.size() == 1 && first.blocks == chain[1].blocks && e.n == 1 && e.a_i == 1 &&
      e.b_i == 1 && chain[0].find_arg("bias") && d.m == 1 && d.a_j == 1)
    return true;
  return std::any_of(parts.decodes.begin(), parts.decodes.end(),
                     [&](size_t i) { return lies_by_columns(dense_args<T>(chain[i]), chain[i].find_arg("bias")); });
}

// Nothing that a product writes is read or written by another: its ensembles may take turns with theirs.
bool apart(const Chain& chain, const Parts& parts) {
  std::vector<int64_t> written;
  for (size_t i : parts.decodes) {
    const Operand& y = chain[i].arg("Y");
    const BufferKind kind = chain.kind_of(y);
    if (kind != BufferKind::window && kind != BufferKind::carried && kind != BufferKind::local) return false;
    written.push_back(y.buffer);
  }
  std::sort(written.begin(), written.end());
  if (std::adjacent_find(written.begin(), written.end()) != written.end()) return false;
  const auto is_written = [&](const Operand& o) {
    return std::binary_search(written.begin(), written.end(), o.buffer);
  };
  for (const auto& entry : chain[1].args)
    if (is_written(entry.second)) return false;
  for (size_t i : parts.filters)  // which run last, also those that stand before a product
    if (is_written(chain[i].arg("y"))) return false;
  return !is_written(chain[0].arg("X"));
}

Match match(const Chain& chain) {
  if (!is_product(chain, 0) || chain.size() < 3 || chain[1].kind != "neurons") return {};
  const OpRecord &encode = chain[0], &neurons = chain[1];
  const Operand &J = neurons.arg("J"), &out = neurons.arg("out");
  if (!find_ensemble_kernel(neurons.text("type")) || !encode.set() || encode.blocks != neurons.blocks) return {};
  const int64_t n = J.count();
  if (n < 2 || n > kMaxEnsemble) return {};
  for (const auto& entry : neurons.args)
    if (!side_by_side(entry.second)) return {};
  if (!same_elements(encode.arg("Y"), J) || !chain.is_inner(J, 2)) return {};
  const Parts parts(chain);
  const size_t decodes = parts.decodes.size(), filters = parts.filters.size();
  if (decodes == 0 || !chain.is_inner(out, static_cast<int64_t>(decodes) + 1)) return {};
  if (!apart(chain, parts) || !(chain.program().float64 ? pays<double>(chain, parts) : pays<float>(chain, parts)))
    return {};
  std::string text =
      "encode, " + neurons.text("type") + ", " + (decodes > 1 ? std::to_string(decodes) + " x " : "") + "decode";
  if (filters) text += std::string(", ") + (filters > 1 ? std::to_string(filters) + " x " : "") + "filter";
  return {parts.count(), {J.buffer, out.buffer}, text};
}

// A product with what it takes to find its operands.
template <class T>
struct Product {
  View a, x, y, bias;
  int64_t a_size;  // elements of the buffer
  bool has_bias;
  DenseArgs<T> args;
  DenseFunction<T> function;

  Product(const OpRecord& op, const Program& program)
      : a(op.arg("A")),
        x(op.arg("X")),
        y(op.arg("Y")),
        bias(op.find_arg("bias") ? op.arg("bias") : op.arg("Y")),
        a_size(program.buffers[a.buffer].size),
        has_bias(op.find_arg("bias") != nullptr),
        args(dense_args<T>(op)),
        function(dense_function(args, has_bias)) {}

  // `stride` gives the distance of rows in a buffer.
  template <class Stride>
  DenseArgs<T> at(const Frame<T>& f, int64_t t, int64_t b, Stride stride) const {
    DenseArgs<T> d = args;
    d.a = a.at(f, t, b);
    if (has_bias) d.bias = bias.at(f, t, b), d.bias_row = stride(bias);
    if (f.base[x.buffer]) d.x = x.at(f, t, b), d.x_row = stride(x);  // none where x or y are inside
    if (f.base[y.buffer]) d.y = y.at(f, t, b), d.y_row = stride(y);
    return d;
  }
  // Whether it may take the columns of neurons that fired alone.
  bool by_columns(const Frame<T>& f, int64_t rows) const {
    return lies_by_columns(args, has_bias) && all_finite(f, a.buffer, a_size, rows);
  }
};

// A product that reads the neurons: blocks in the order of the ensembles that they read.
template <class T>
class Decoder {
 public:
  Decoder(const OpRecord& op, const Operand& out, const Program& program)
      : product_(op, program), begin_(out.offsets.size() + 1) {
    const std::vector<int64_t> from = sources(op, out);
    std::vector<size_t> order(from.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return from[i] < from[j]; });
    for (int64_t b : from) ++begin_[b + 1];
    each_ = std::all_of(begin_.begin() + 1, begin_.end(), [](int64_t count) { return count == 1; });
    std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
    const DenseArgs<T>& d = product_.args;
    for (size_t i : order) a_at_.push_back(d.a_at[i]), y_at_.push_back(d.y_at[i]), bias_at_.push_back(d.bias_at[i]);
  }

  // For the ensembles from `first` on.
  template <class Stride>
  Decode<T> at(const Frame<T>& f, int64_t t, int64_t b, int64_t rows, int64_t first, Stride stride) const {
    DenseArgs<T> d = product_.at(f, t, b, stride);
    d.a_at = a_at_.data(), d.y_at = y_at_.data(), d.bias_at = bias_at_.data();
    return {d, product_.function, product_.by_columns(f, rows), begin_.data() + first, each_};
  }

 private:
  Product<T> product_;
  std::vector<int64_t> begin_, a_at_, y_at_, bias_at_;
  bool each_;
};

template <class T>
class FusedEnsemble : public Kernel<T> {
 public:
  FusedEnsemble(const Chain& chain, const Match&) : encode_(chain[0], chain.program()), n_(chain[1].arg("J").count()) {
    const OpRecord& neurons = chain[1];
    const Parts parts(chain);
    for (size_t i : parts.decodes) decodes_.emplace_back(chain[i], neurons.arg("out"), chain.program());
    for (size_t i : parts.filters)
      filters_.push_back(cpu_backend().find_kernel(chain[i].kind).make<T>()(chain[i], chain.program()));
    const EnsembleKernel& kernel = *find_ensemble_kernel(neurons.text("type"));
    if constexpr (sizeof(T) == 4)
      run_ = kernel.run32;
    else
      run_ = kernel.run64;
    add_models(neurons, chain.program().dt);
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    if (t1 - t0 == 1) {
      rows(f, t0, 0, f.batch, false);
    } else {
      for (int64_t b = 0; b < f.batch; ++b) rows(f, t0, b, t1 - t0, true);
    }
    for (const auto& filter : filters_) filter->run(f, t0, t1);
  }

 private:
  // Consecutive blocks with equal parameters.
  struct Part {
    int64_t first, blocks;
    NeuronModel model;
  };

  void add_models(const OpRecord& op, double dt) {
    const NeuronSpec& spec = *find_neuron_spec(op.text("type"));
    const auto& functions = find_neuron_kernel(spec.name).of<T>();
    for (const std::string& state : spec.states) states_.emplace_back(op.arg(state));
    std::vector<std::vector<double>> values;
    for (const std::string& key : spec.parameters) values.push_back(op.per_block(key));
    for (int64_t k = 0; k < op.blocks; ++k) {
      const auto equal = [k](const std::vector<double>& v) { return v[k] == v[k - 1]; };
      if (k > 0 && std::all_of(values.begin(), values.end(), equal)) {
        ++parts_.back().blocks;
        continue;
      }
      std::vector<double> p;
      for (const auto& v : values) p.push_back(v[k]);
      for (const std::string& key : spec.flags) p.push_back(static_cast<double>(op.integer(key)));
      parts_.push_back({k, 1, {}});
      functions.prepare(&parts_.back().model, p.data(), dt);
    }
  }

  // `count` rows from step t and item b on: steps of this item, or items of this step.
  void rows(const Frame<T>& f, int64_t t, int64_t b, int64_t count, bool steps) const {
    const auto stride = [&](const View& o) { return steps ? f.row[o.buffer] : f.item[o.buffer]; };
    EnsembleCall<T> call{};
    call.n = n_, call.rows = count, call.in_turn = steps;
    Decode<T> decodes[kMaxDecodes];
    call.decodes = decodes, call.decode_count = static_cast<int64_t>(decodes_.size());
    for (const Part& part : parts_) {
      call.blocks = part.blocks;
      call.encode = encode_.at(f, t, b, stride), call.encoder = encode_.function;
      DenseArgs<T>& e = call.encode;
      e.a_at += part.first, e.x_at += part.first, e.y_at += part.first, e.bias_at += part.first;
      for (size_t i = 0; i < decodes_.size(); ++i) decodes[i] = decodes_[i].at(f, t, b, count, part.first, stride);
      for (size_t s = 0; s < states_.size(); ++s) {
        call.state[s] = states_[s].at(f, t, b), call.state_at[s] = states_[s].offsets + part.first;
        call.state_row[s] = stride(states_[s]), call.old_row[s] = old_row(f, states_[s]);
      }
      run_(part.model, call);
    }
  }

  Product<T> encode_;
  int64_t n_;
  std::vector<Decoder<T>> decodes_;
  std::vector<View> states_;
  std::vector<Part> parts_;
  std::vector<std::unique_ptr<Kernel<T>>> filters_;
  void (*run_)(const NeuronModel&, const EnsembleCall<T>&);
};

const CpuFusion<FusedEnsemble> fusion(match);

}  // namespace
}  // namespace nengo_dl
