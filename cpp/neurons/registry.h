// What the engine can tell about its neuron types.
#pragma once

#include <string>
#include <vector>

#include "engine/api.h"
#include "kernels/neurons.h"

namespace nengo_dl {

struct NeuronSpec {
  std::string name;                     // of the class in Nengo
  std::vector<std::string> parameters;  // attributes of a `neurons` op, 1 value or one per block
  std::vector<std::string> states;      // arguments of a `neurons` op, n elements each
  bool draws;                           // takes random numbers: needs the attribute `rng`
  bool spikes;                          // has a gradient only with the attribute `surrogate`
};

NDL_API const std::vector<NeuronSpec>& neuron_specs();
const NeuronSpec* find_neuron_spec(const std::string& name);  // nullptr if there is none
// Of the current instruction set; the name must exist.
const NeuronKernel& find_neuron_kernel(const std::string& name);
const NeuronGradKernel& find_neuron_grad_kernel(const std::string& name);

}  // namespace nengo_dl
