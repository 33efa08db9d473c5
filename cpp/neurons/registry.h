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

// What stands for the derivative of a spike.
struct SurrogateSpec {
  std::string name;
  bool width;  // a bump of some width; else the derivative of the rate
};

NDL_API const std::vector<NeuronSpec>& neuron_specs();
NDL_API const std::vector<SurrogateSpec>& surrogate_specs();      // a bump's place is its number for the kernels
const NeuronSpec* find_neuron_spec(const std::string& name);      // nullptr if there is none
const NeuronKernel& find_neuron_kernel(const std::string& name);  // of the current instruction set; the name must exist

}  // namespace nengo_dl
