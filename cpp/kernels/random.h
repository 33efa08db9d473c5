// The face of the kernel that draws many random numbers at a time.
#pragma once

#include <stdint.h>

#include "engine/isa.h"

namespace nengo_dl {

// What engine/twister.h draws in `n` calls of sample(), to the last bit, of the generator, too.
NDL_DECLARE_KERNEL(void, draw_samples, (int32_t * generator, double* to, int64_t n))
// What the next calls of sample() will draw, n of them or as many as the key has words for: returns how many. The
// generator stays as it is: a caller who has taken `count` adds 2 * count to its position, generator[kGeneratorPos].
NDL_DECLARE_KERNEL(int64_t, coming_samples, (const int32_t* generator, double* to, int64_t n))
constexpr int kGeneratorPos = 624;

}  // namespace nengo_dl
