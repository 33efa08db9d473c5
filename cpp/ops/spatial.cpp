#include "ops/spatial.h"

#include "engine/op_util.h"
#include "kernels/conv.h"

namespace nengo_dl {

constexpr int64_t kMaxExtent = int64_t{1} << 31, kMaxElements = int64_t{1} << 40;

void check_dimensions(const OpRecord& op) {
  const size_t rank = op.integers("kernel").size();
  if (rank < 1 || rank > kMaxSpatial)
    op.fail("expected 1 to " + std::to_string(kMaxSpatial) + " spatial dimensions, got " + std::to_string(rank));
  for (const char* key : {"kernel", "in_shape", "out_shape", "stride", "pad"}) {
    const std::vector<int64_t>& values = op.integers(key);
    if (values.size() != rank)
      op.fail(std::string("attribute '") + key + "': expected " + std::to_string(rank) +
              " values (one per spatial dimension), got " + std::to_string(values.size()));
    for (int64_t v : values) check_extent(op, key, v, std::string(key) == "pad" ? 0 : 1);
  }
}

int64_t product_of(const OpRecord& op, const std::vector<int64_t>& values, int64_t start) {
  int64_t product = start;
  for (int64_t v : values) {  // each at least 1
    if (product > kMaxElements / v) op.fail("its sizes multiply to more than 2^40");
    product *= v;
  }
  return product;
}

void check_flat(const OpRecord& op, const char* name, int64_t expected) {
  const Operand& o = op.arg(name);
  if (!is_contiguous(o)) op.fail(std::string("argument '") + name + "' is not contiguous");
  if (o.count() != expected)
    op.fail(std::string("argument '") + name + "': expected " + std::to_string(expected) + " elements, got " +
            std::to_string(o.count()));
}

int64_t check_extent(const OpRecord& op, const char* key, int64_t value, int64_t least) {
  if (value < least || value >= kMaxExtent)
    op.fail(std::string("attribute '") + key + "': expected " + std::to_string(least) + " to 2^31 - 1, got " +
            std::to_string(value));
  return value;
}

}  // namespace nengo_dl
