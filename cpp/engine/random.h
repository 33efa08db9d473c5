// NumPy's RandomState: the Mersenne Twister MT19937 and the legacy distributions, number for number.
// A generator is 628 int32 words: key (624), pos, has_gauss, and the cached gauss as the halves of a double.
// Its content may come from anywhere: a position out of range counts as the end of the key.
#pragma once

#include <stdint.h>

namespace nengo_dl {

constexpr int64_t kGeneratorWords = 628;

// Several numbers, as if each had been drawn by itself.
void random_samples(int32_t* generator, double* to, int64_t n);  // uniform on [0, 1), 53 bits
void random_gausses(int32_t* generator, double* to, int64_t n);  // standard normal, Marsaglia's polar method

}  // namespace nengo_dl
