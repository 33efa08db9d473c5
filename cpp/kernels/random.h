// The face of the kernel that draws many random numbers at a time.
#pragma once

#include <stdint.h>

#include "engine/isa.h"

namespace nengo_dl {

// What engine/twister.h draws in `n` calls of sample(), to the last bit, of the generator, too.
NDL_DECLARE_KERNEL(void, draw_samples, (int32_t * generator, double* to, int64_t n))

}  // namespace nengo_dl
