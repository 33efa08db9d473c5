// Backend "divided" of the tests: the CPU's, but threads share out the ops of every window, however small it is.
// Loading this library adds the backend.
#include "engine/backend.h"
#include "engine/fusion.h"

namespace {

using namespace nengo_dl;

class AlwaysDivided final : public Tiling {
 public:
  Geometry of_run(const RunSizes& sizes, int threads) const override { return cpu_tiling().of_run(sizes, threads); }
  bool looks_for_division(double, double) const override { return true; }
  bool divides(double, double, double) const override { return true; }
  Geometry of_recorded_run(const RunSizes& sizes) const override { return cpu_tiling().of_recorded_run(sizes); }
};

const bool added = [] {
  static const AlwaysDivided tiling;
  auto backend = std::make_unique<Backend>("divided", host_space(), tiling);
  for (const auto& [kind, maker] : cpu_backend().kernels()) backend->add_kernel(kind, maker);
  for (const Fusion& fusion : cpu_backend().fusions()) backend->add_fusion(fusion);
  add_backend(std::move(backend));
  return true;
}();

}  // namespace
