// Products of matrices, which a library of NVIDIA's makes: cuBLAS, looked for when it is first wanted.
#pragma once

#include <algorithm>
#include <cstdint>

namespace nengo_dl {
namespace cuda {

// C (m x n) = A (m x k) B (k x n), or C += A B; all of them in C order.
template <class T>
struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  const T* a = nullptr;
  const T* b = nullptr;
  T* c = nullptr;
  int64_t a_row = 0, b_row = 0, c_row = 0;  // elements from row to row
  bool a_turned = false, b_turned = false;  // A lies there as (k x m), B as (n x k)
  bool add = false;                         // else C isn't read
  int64_t count = 1;                        // so many products,
  int64_t a_at = 0, b_at = 0, c_at = 0;     // elements from one's matrices to the next's; those of C are apart
  bool tf32 = false;                        // as in RunArgs
};

// Whether rows are apart and sizes such as cuBLAS takes, which counts in 32 bits.
template <class T>
bool takes(const Gemm<T>& g) {
  const int64_t a_width = g.a_turned ? g.m : g.k, b_width = g.b_turned ? g.k : g.n;
  return g.a_row >= a_width && g.b_row >= b_width && g.c_row >= g.n &&
         std::max({g.m, g.n, g.k, g.a_row, g.b_row, g.c_row, g.count}) <= INT32_MAX;
}

// Whether there is a cuBLAS. std::runtime_error if NENGO_DL_CUBLAS names one that can't be loaded.
bool has_gemm();
// Of what cuBLAS `takes`, if there is one. Takes effect in order with kernels and copies; the same bits each time.
void gemm(const Gemm<float>& g);
void gemm(const Gemm<double>& g);

}  // namespace cuda
}  // namespace nengo_dl
