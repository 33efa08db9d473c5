// A library with the functions of cuBLAS that the CUDA backend calls, on the processor: matrices lie there column by
// column, as in BLAS.
#include "helpers/cublas_double.h"

#include <cstddef>
#include <cstdint>
#include <functional>

#include "helpers/tf32.h"

namespace {
constexpr int kTf32Math = 3;  // CUBLAS_TF32_TENSOR_OP_MATH
int math_mode = -1;
int64_t calls = 0;
bool has_memory = false;
void* stream = nullptr;

template <class T>
void multiply(int a_op, int b_op, int m, int n, int k, T alpha, const T* a, int lda, long long a_at, const T* b,
              int ldb, long long b_at, T beta, T* c, int ldc, long long c_at, int count, bool tf32) {
  const auto factor = [tf32](T value) { return tf32 ? tf32_of(value) : value; };
  for (; count > 0; --count, a += a_at, b += b_at, c += c_at)
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < m; ++i) {
        T sum = 0;
        for (int l = 0; l < k; ++l)
          sum += factor(a[a_op ? l + i * lda : i + l * lda]) * factor(b[b_op ? j + l * ldb : l + j * ldb]);
        c[i + j * ldc] = alpha * sum + (beta == 0 ? 0 : beta * c[i + j * ldc]);
      }
}

template <class T>
int products(int a_op, int b_op, int m, int n, int k, const T* alpha, const T* a, int lda, long long a_at, const T* b,
             int ldb, long long b_at, const T* beta, T* c, int ldc, long long c_at, int count) {
  if (!has_memory || lda < (a_op ? k : m) || ldb < (b_op ? n : k) || ldc < m) return 7;  // CUBLAS_STATUS_INVALID_VALUE
  ++calls;
  when_due(stream, [=, alpha = *alpha, beta = *beta, tf32 = math_mode == kTf32Math] {
    multiply(a_op, b_op, m, n, k, alpha, a, lda, a_at, b, ldb, b_at, beta, c, ldc, c_at, count, tf32);
  });
  return 0;
}
}  // namespace

extern "C" {
int cublasCreate_v2(void** handle) { return *handle = &math_mode, 0; }
int cublasSetStream_v2(void*, void* of) { return has_memory = false, stream = of, 0; }
int cublasSetWorkspace_v2(void*, void* memory, size_t) { return has_memory = memory != nullptr, 0; }
int cublasSetMathMode(void*, int mode) { return math_mode = mode, 0; }
int last_math_mode() { return math_mode; }
int64_t gemm_calls() { return calls; }

int cublasSgemm_v2(void*, int a_op, int b_op, int m, int n, int k, const float* alpha, const float* a, int lda,
                   const float* b, int ldb, const float* beta, float* c, int ldc) {
  return products(a_op, b_op, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}
int cublasDgemm_v2(void*, int a_op, int b_op, int m, int n, int k, const double* alpha, const double* a, int lda,
                   const double* b, int ldb, const double* beta, double* c, int ldc) {
  return products(a_op, b_op, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}
int cublasSgemmStridedBatched(void*, int a_op, int b_op, int m, int n, int k, const float* alpha, const float* a,
                              int lda, long long a_at, const float* b, int ldb, long long b_at, const float* beta,
                              float* c, int ldc, long long c_at, int count) {
  return products(a_op, b_op, m, n, k, alpha, a, lda, a_at, b, ldb, b_at, beta, c, ldc, c_at, count);
}
int cublasDgemmStridedBatched(void*, int a_op, int b_op, int m, int n, int k, const double* alpha, const double* a,
                              int lda, long long a_at, const double* b, int ldb, long long b_at, const double* beta,
                              double* c, int ldc, long long c_at, int count) {
  return products(a_op, b_op, m, n, k, alpha, a, lda, a_at, b, ldb, b_at, beta, c, ldc, c_at, count);
}
}
