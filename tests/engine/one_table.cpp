// A neuron type's way forward and way back are one entry of one table, though another thread chooses another
// instruction set while they are looked up.
#include <atomic>
#include <cstdio>
#include <thread>

#include "engine/engine.h"
#include "neurons/registry.h"

using namespace nengo_dl;

namespace {

// Whether `found` is an entry of the tables of this library, and that of the name.
bool is_whole(const NeuronKernel& found, const std::string& name) {
  int count = 0;
#ifdef NDL_ONLY_BASELINE
  const NeuronKernel* tables[] = {baseline::neuron_kernels(&count)};
#else
  const NeuronKernel* tables[] = {baseline::neuron_kernels(&count), avx2::neuron_kernels(&count),
                                  avx512::neuron_kernels(&count)};
#endif
  for (const NeuronKernel* table : tables)
    for (int i = 0; i < count; ++i)
      if (&table[i] == &found) return name == found.name && found.of32.grad && found.of64.grad;
  return false;
}

}  // namespace

int main() {
  std::atomic<bool> done{false};
  std::thread chooser([&] {
    while (!done)
      for (const std::string& name : isas()) set_isa(name);
  });
  int wrong = 0;
  for (int round = 0; round < 20000; ++round)
    for (const NeuronSpec& spec : neuron_specs()) wrong += !is_whole(find_neuron_kernel(spec.name), spec.name);
  done = true;
  chooser.join();
  if (wrong) std::printf("%d entries were of no table\n", wrong);
  return wrong != 0;
}
