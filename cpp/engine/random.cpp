#include "engine/random.h"

#include "engine/twister.h"

namespace nengo_dl {

double random_sample(int32_t* g) { return Twister{g}.sample(); }
double random_gauss(int32_t* g) { return Twister{g}.gauss(); }
double random_poisson(int32_t* g, double mean) { return Twister{g}.poisson(mean); }

}  // namespace nengo_dl
