// When the products of cublas_double.cpp are made.
#pragma once

#include <functional>

#ifdef __CUDACC__  // on the GPU of host_gpu.h
void when_due(void* stream, std::function<void()> product);
#else
inline void when_due(void*, const std::function<void()>& product) { product(); }
#endif
