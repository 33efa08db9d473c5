// What the engine can tell about its neuron types.
#pragma once

#include <string>
#include <vector>

#include "engine/api.h"
#include "kernels/neurons.h"

namespace nengo_dl {

struct NeuronSpec {
  std::string name;                     // of the class in Nengo
  std::vector<std::string> parameters;  // float attributes of a `neurons` op, 1 value or one per block
  std::vector<std::string> flags;       // integer attributes
  std::vector<std::string> states;      // arguments, n elements each
  bool draws;                           // takes random numbers: needs the attribute `rng`
  bool spikes;                          // has a gradient only with the attribute `surrogate`
  std::string rate_form;                // the smooth type that stands for it in training; "": none
  unsigned reads, straight_reads;       // of NeuronKernel
};

NDL_API const std::vector<NeuronSpec>& neuron_specs();
const NeuronSpec* find_neuron_spec(const std::string& name);      // nullptr if there is none
const NeuronKernel& find_neuron_kernel(const std::string& name);  // of the current instruction set; the name must exist

}  // namespace nengo_dl
