// Checks that ops on images have in common: `kernel`, `in_shape`, `out_shape`, `stride` and `pad` have a value for each
// spatial dimension, and operands are flat.
#pragma once

#include <vector>

#include "engine/program.h"

namespace nengo_dl {

// Fails unless these attributes have 1 to kMaxSpatial values each, all of them in range.
void check_dimensions(const OpRecord& op);
// The value, which has to be within `least` and 2^31 - 1.
int64_t check_extent(const OpRecord& op, const char* key, int64_t value, int64_t least);
// Product of `start` and values from 1 on; fails above 2^40.
int64_t product_of(const OpRecord& op, const std::vector<int64_t>& values, int64_t start);
// Fails unless an argument is contiguous and has as many elements.
void check_flat(const OpRecord& op, const char* name, int64_t expected);

}  // namespace nengo_dl
