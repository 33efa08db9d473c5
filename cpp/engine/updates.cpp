#include "engine/updates.h"

namespace nengo_dl {

template <class T>
void adam(const AdamStep<T>& step, const T* gradient, T* first, T* second, T* values, int64_t count) {
  static const auto kernel = NDL_PICK_TYPED(T, adam);
  kernel(step, gradient, first, second, values, count);
}

template NDL_API void adam(const AdamStep<float>&, const float*, float*, float*, float*, int64_t);
template NDL_API void adam(const AdamStep<double>&, const double*, double*, double*, double*, int64_t);

}  // namespace nengo_dl
