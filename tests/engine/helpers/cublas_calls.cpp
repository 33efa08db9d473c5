// Lets a test call cpp/cuda/cublas.cu, compiled beside it as plain C++.
#include "cuda/cublas.h"

#include <cstdlib>
#include <exception>
#include <string>

#include "helpers/cublas_face.h"

namespace nengo_dl {
namespace cuda {

Space& device_space() { return host_space(); }
std::recursive_mutex& launching() {
  static std::recursive_mutex lock;
  return lock;
}
cudaStream_t stream() { return nullptr; }

template <class T>
void product(const T* a, const T* b, T* c, const int64_t* v) {
  Gemm<T> g;
  g.a = a, g.b = b, g.c = c;
  g.m = v[0], g.n = v[1], g.k = v[2], g.a_row = v[3], g.b_row = v[4], g.c_row = v[5];
  g.a_turned = v[6] != 0, g.b_turned = v[7] != 0, g.add = v[8] != 0;
  g.count = v[9], g.a_at = v[10], g.b_at = v[11], g.c_at = v[12], g.tf32 = v[13] != 0;
  if (!takes(g)) std::abort();
  gemm(g);
}

}  // namespace cuda
}  // namespace nengo_dl

extern "C" {
int found() try { return nengo_dl::cuda::has_gemm(); } catch (const std::exception& error) {
  return std::string(error.what()).rfind("NENGO_DL_CUBLAS: expected", 0) == 0 ? -1 : -2;
}
void product32(const float* a, const float* b, float* c, const int64_t* v) { nengo_dl::cuda::product(a, b, c, v); }
void product64(const double* a, const double* b, double* c, const int64_t* v) { nengo_dl::cuda::product(a, b, c, v); }
}
