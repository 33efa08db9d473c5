// Groups and windows whose values stay in the cache of a processor's core.
#include <algorithm>

#include "engine/geometry.h"

namespace nengo_dl {
namespace {

constexpr int64_t kItems = 16, kSteps = 256, kMaxSteps = 4096;
constexpr int64_t kCache = 512 * 1024;     // bytes
constexpr int64_t kRows = 256;             // of a product that pay; more where weights are large
constexpr int64_t kLargeMatrix = 2 << 20;  // bytes
constexpr int64_t kSumRows = 48;           // of a product for which clearing and adding up another sum pays,
constexpr int64_t kSumRowsPerMiB = 32;     // more where sums come from memory
constexpr int64_t kLarge = 64 << 20;       // bytes that one thread may take for a window with so many rows

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

class CpuTiling final : public Tiling {
 public:
  Geometry of_run(const RunSizes& s, int threads) const override {
    Geometry g;
    g.group = s.whole ? s.batch : std::min(kItems, ceil_div(s.batch, threads));
    const int64_t fit = s.item_bytes ? std::max(kCache / s.item_bytes / g.group, for_products(s, g.group)) : kSteps;
    g.window = s.window ? std::min(s.window, kMaxSteps) : std::clamp<int64_t>(fit, 1, kSteps);
    g.window = std::max<int64_t>(1, std::min(g.window, s.n_steps));
    return g;
  }

  static int64_t rows_that_pay(const RunSizes& s, int64_t if_large) {
    return s.matrix_bytes > kLargeMatrix ? if_large : kRows;
  }

  // Weights that the cache does not hold are read anew in every window: its values may then take as much.
  static int64_t for_products(const RunSizes& s, int64_t group) {
    if (s.matrix_bytes <= kCache) return 0;
    return std::min(ceil_div(rows_that_pay(s, 2 * kRows), group),
                    std::min(s.matrix_bytes, kLarge) / s.item_bytes / group);
  }

  bool looks_for_division(double work, double parts) const override {
    constexpr double kLook = 1e4;  // elements that are done meanwhile, about 2 microseconds, for each part
    return work >= kLook * parts;
  }

  bool divides(double work, double longest, double waits) const override {
    constexpr double kWait = 2e4;  // elements that are done meanwhile, about 5 microseconds
    return longest < 0.8 * work && work - longest > kWait * waits;
  }

  // Weight gradients are products over all steps and items of a window, so a window has more of them than one that is
  // only run; it is shorter where its values would not fit into the memory that one thread may reasonably take.
  Geometry of_recorded_run(const RunSizes& s) const override {
    Geometry g;
    const auto pay = static_cast<double>(std::max(kSumRows, (s.matrix_bytes >> 20) * kSumRowsPerMiB));
    const double rows = std::min(static_cast<double>(s.n_steps) * s.weight_uses, pay);  // of an item
    const auto sums = static_cast<int64_t>(static_cast<double>(s.batch) * rows / pay);
    g.accumulators = s.whole ? 1 : std::clamp<int64_t>(std::min(s.batch / 8, sums), 1, 8);
    g.group = s.whole ? s.batch : std::min(kItems, ceil_div(s.batch, g.accumulators));
    g.accumulators = std::min(g.accumulators, ceil_div(s.batch, g.group));
    int64_t row_bytes;
    if (__builtin_mul_overflow(std::max<int64_t>(1, s.item_bytes), g.group, &row_bytes)) row_bytes = INT64_MAX;
    const int64_t pays = std::clamp<int64_t>(rows_that_pay(s, 4 * kRows) / g.group, 1, kSteps);
    g.window = std::clamp<int64_t>(std::max(kCache / row_bytes, std::min(pays, kLarge / row_bytes)), 1, kSteps);
    if (s.window) g.window = std::min(s.window, kSteps);
    g.window = std::max<int64_t>(1, std::min(g.window, s.n_steps));
    return g;
  }
};

}  // namespace

Tiling::~Tiling() = default;

const Tiling& cpu_tiling() {
  static const auto* const tiling = new CpuTiling;
  return *tiling;
}

}  // namespace nengo_dl
