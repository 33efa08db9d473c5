// Windows of the processor: their values stay in its cache, but for products with weights that don't.
#include "engine/geometry.h"
#include "helpers/expect.h"

using namespace nengo_dl;

namespace {

int64_t rows(int64_t item_bytes, int64_t matrix_bytes, int64_t batch) {
  const Geometry g = cpu_tiling().of_run({batch, 1000, 0, item_bytes, false, matrix_bytes}, 1);
  return g.group * g.window;
}

// Sums of weight gradients, of 64 items.
int64_t sums(int64_t n_steps, int64_t matrix_bytes, double weight_uses) {
  return cpu_tiling().of_recorded_run({64, n_steps, 0, 1024, false, matrix_bytes, weight_uses}).accumulators;
}

}  // namespace

int main() {
  constexpr int64_t KB = 1024, MB = 1024 * KB;
  expect(rows(4 * KB, 0, 64) == 128, "512 KB of values");
  expect(rows(4 * KB, 500 * KB, 64) == 128, "weights that stay in the cache, too");
  expect(rows(4 * KB, 3 * MB / 2, 64) == 256, "rows that pay for reading weights");
  expect(rows(16 * KB, 16 * MB, 64) == 512, "more that pay for reading large ones");
  expect(rows(16 * KB, 16 * MB, 1) == 256, "steps of one item: not more than a window has");
  expect(rows(64 * KB, 4 * MB, 64) == 64, "no more than the weights take");
  expect(rows(1 * MB, 1 * MB, 1) == 1, "a step at least");
  expect(rows(1 * KB, 16 * MB, 64) == 512, "no fewer than fit");
  expect(sums(1, 0, 1) == 1, "64 rows: one sum");
  expect(sums(6, 0, 1) == 8, "48 rows for each of eight");
  expect(sums(1, 0, 100) == 8, "a convolution of 100 positions sums as many rows in a step");
  expect(sums(32, 16 * MB, 1) == 4, "sums that come from memory want more rows");
  return failures;
}
