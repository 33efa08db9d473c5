// All items together, and windows as long as memory allows: a GPU wants few, large pieces of work.
#include "cuda/tiling.h"

#include <algorithm>

#include "cuda/device.h"

namespace nengo_dl {
namespace cuda {
namespace {

constexpr int64_t kPart = 16;          // of the memory, that a window may take
constexpr int64_t kMostSteps = 65536;  // as a program may ask for
// As many as are worth a launch. Runs are stopped between windows, by Ctrl-C, too; recorded ones are short, and the
// gradient of weights is a product for each window.
constexpr int64_t kSteps = 1024, kRecordedSteps = 4096;

class DeviceTiling final : public Tiling {
 public:
  Geometry of_run(const RunSizes& s, int) const override { return whole(s, kSteps); }
  bool looks_for_division(double, double) const override { return false; }
  bool divides(double, double, double) const override { return false; }
  Geometry of_recorded_run(const RunSizes& s) const override { return whole(s, kRecordedSteps); }

 private:
  static Geometry whole(const RunSizes& s, int64_t steps) {
    Geometry g;
    g.group = s.batch;
    g.window = window(s, steps);
    return g;
  }
  static int64_t window(const RunSizes& s, int64_t steps) {
    if (s.window) return std::max<int64_t>(1, std::min({s.window, kMostSteps, s.n_steps}));
    int64_t row;
    if (__builtin_mul_overflow(std::max<int64_t>(1, s.item_bytes), s.batch, &row)) row = INT64_MAX;
    return std::max<int64_t>(1, std::min({steps, device_bytes() / kPart / row, s.n_steps}));
  }
};

}  // namespace

const Tiling& device_tiling() {
  static const auto* const tiling = new DeviceTiling;
  return *tiling;
}

}  // namespace cuda
}  // namespace nengo_dl
