// What changes parameters in training, for whoever has gradients and moments.
#pragma once

#include "engine/api.h"
#include "kernels/updates.h"

namespace nengo_dl {

// See kernels/updates.h. Adjacent elements may be done by several threads, in pieces of any size.
template <class T>
NDL_API void adam(const AdamStep<T>& step, const T* gradient, T* first, T* second, T* values, int64_t count);

}  // namespace nengo_dl
