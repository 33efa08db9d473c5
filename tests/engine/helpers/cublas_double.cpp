// A library with the functions of cuBLAS that the CUDA backend calls, on the processor: matrices lie there column by
// column, as in BLAS.
#include <cstddef>

namespace {
int math_mode = -1;
bool has_memory = false;

template <class T>
int products(int a_op, int b_op, int m, int n, int k, const T* alpha, const T* a, int lda, long long a_at, const T* b,
             int ldb, long long b_at, const T* beta, T* c, int ldc, long long c_at, int count) {
  if (!has_memory || lda < (a_op ? k : m) || ldb < (b_op ? n : k) || ldc < m) return 7;  // CUBLAS_STATUS_INVALID_VALUE
  for (; count > 0; --count, a += a_at, b += b_at, c += c_at)
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < m; ++i) {
        T sum = 0;
        for (int l = 0; l < k; ++l) sum += a[a_op ? l + i * lda : i + l * lda] * b[b_op ? j + l * ldb : l + j * ldb];
        c[i + j * ldc] = *alpha * sum + (*beta == 0 ? 0 : *beta * c[i + j * ldc]);
      }
  return 0;
}
}  // namespace

extern "C" {
int cublasCreate_v2(void** handle) { return *handle = &math_mode, 0; }
int cublasSetStream_v2(void*, void*) { return has_memory = false, 0; }
int cublasSetWorkspace_v2(void*, void* memory, size_t) { return has_memory = memory != nullptr, 0; }
int cublasSetMathMode(void*, int mode) { return math_mode = mode, 0; }
int last_math_mode() { return math_mode; }

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
