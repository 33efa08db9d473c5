#include "neurons/registry.h"

#include <stdexcept>

namespace nengo_dl {
namespace {

std::vector<std::string> strings(const char* const* names) {
  std::vector<std::string> result;
  for (; *names; names++) result.emplace_back(*names);
  return result;
}

std::vector<NeuronSpec> read_table() {
  int count = 0;
  const NeuronKernel* table = baseline::neuron_kernels(&count);
  std::vector<NeuronSpec> specs;
  for (int i = 0; i < count; i++) {
    const NeuronKernel& k = table[i];
    for (const NeuronSpec& s : specs)
      if (s.name == k.name) throw std::logic_error("two neuron types are named " + s.name);
    specs.push_back({k.name, strings(k.parameters), strings(k.flags), strings(k.states), k.draws, k.spikes, k.rate_form,
                     k.reads, k.straight_reads});
  }
  return specs;
}

std::vector<SurrogateSpec> read_surrogates() {
  std::vector<SurrogateSpec> specs;
  for (const std::string& name : strings(baseline::surrogate_names())) specs.push_back({name, true});
  specs.push_back({"straight_through", false});
  return specs;
}

}  // namespace

const std::vector<SurrogateSpec>& surrogate_specs() {
  static const auto* const specs = new std::vector<SurrogateSpec>(read_surrogates());
  return *specs;
}

const std::vector<NeuronSpec>& neuron_specs() {
  static const auto* const specs = new std::vector<NeuronSpec>(read_table());  // never destroyed, as the above
  return *specs;
}

const NeuronSpec* find_neuron_spec(const std::string& name) {
  for (const NeuronSpec& s : neuron_specs())
    if (s.name == name) return &s;
  return nullptr;
}

const NeuronKernel& find_neuron_kernel(const std::string& name) {
  int count = 0;
  const NeuronKernel* table = NDL_PICK(neuron_kernels)(&count);
  for (int i = 0; i < count; i++)
    if (name == table[i].name) return table[i];
  throw std::out_of_range("no neuron type named " + name);
}

}  // namespace nengo_dl
