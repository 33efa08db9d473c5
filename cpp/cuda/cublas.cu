// cuBLAS without its header, and without linking to it: who has none can still load this library.
#include "cuda/cublas.h"

#include <dlfcn.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/device.h"

namespace nengo_dl {
namespace cuda {
namespace {

constexpr int64_t kWorkspace = 32 << 20;                                          // bytes, as NVIDIA advises for Hopper
constexpr int kNoTranspose = 0, kTranspose = 1, kDefaultMath = 0, kTf32Math = 3;  // as cublas_api.h has them

using Handle = struct Context*;
template <class T>
using Product = int (*)(Handle, int, int, int, int, int, const T*, const T*, int, const T*, int, const T*, T*, int);
template <class T>
using Products = int (*)(Handle, int, int, int, int, int, const T*, const T*, int, long long, const T*, int, long long,
                         const T*, T*, int, long long, int);

void check_status(int status, const char* what) {
  if (status != 0) throw std::runtime_error(std::string("cuBLAS: ") + what + ": status " + std::to_string(status));
}

// Where pip puts libraries of NVIDIA: beside the package that this library belongs to.
std::vector<std::string> places() {
  std::vector<std::string> found;
  for (const char* version : {"13", "12"}) found.push_back(std::string("libcublas.so.") + version);
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&has_gemm), &info) || !info.dli_fname) return found;
  const std::string here = info.dli_fname;
  const std::string packages = here.substr(0, here.rfind('/') + 1) + "../nvidia/";
  found.push_back(packages + "cu13/lib/libcublas.so.13");
  found.push_back(packages + "cublas/lib/libcublas.so.12");
  return found;
}

void* open_library() {
  if (const char* const named = std::getenv("NENGO_DL_CUBLAS")) {
    void* const library = dlopen(named, RTLD_NOW | RTLD_LOCAL);
    if (library) return library;
    const char* const reason = dlerror();
    throw std::runtime_error("NENGO_DL_CUBLAS: expected the path of a cuBLAS library, got " + std::string(named) +
                             ": " + (reason ? reason : "it can't be loaded"));
  }
  for (const int flags : {RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD, RTLD_NOW | RTLD_LOCAL})  // one that is loaded is best
    for (const std::string& place : places())
      if (void* const library = dlopen(place.c_str(), flags)) return library;
  return nullptr;
}

struct Cublas {
  int (*create)(Handle*);
  int (*set_stream)(Handle, cudaStream_t);
  int (*set_workspace)(Handle, void*, size_t);
  int (*set_math_mode)(Handle, int);
  Product<float> sgemm;
  Product<double> dgemm;
  Products<float> sgemm_strided;
  Products<double> dgemm_strided;
  Memory<char> workspace;
  Handle handle = nullptr;

  explicit Cublas(void* library) {
    find(library, "cublasCreate_v2", create);
    find(library, "cublasSetStream_v2", set_stream);
    find(library, "cublasSetWorkspace_v2", set_workspace);
    find(library, "cublasSetMathMode", set_math_mode);
    find(library, "cublasSgemm_v2", sgemm);
    find(library, "cublasDgemm_v2", dgemm);
    find(library, "cublasSgemmStridedBatched", sgemm_strided);
    find(library, "cublasDgemmStridedBatched", dgemm_strided);
    workspace = allocate<char>(device_space(), kWorkspace);
    check_status(create(&handle), "it can't be started");
    check_status(set_stream(handle, stream()), "it doesn't take the stream");
    // after the stream, which would take it away; with one of its own the same call gives the same bits
    check_status(set_workspace(handle, workspace.get(), kWorkspace), "it doesn't take the memory");
  }

 private:
  template <class F>
  static void find(void* library, const char* name, F& function) {
    function = reinterpret_cast<F>(dlsym(library, name));
    if (!function) throw std::runtime_error(std::string("cuBLAS: expected the function ") + name + ", got none");
  }
};

// Null if there is none.
const Cublas* cublas() {
  static const Cublas* const made = []() -> const Cublas* {
    void* const library = open_library();
    return library ? new Cublas(library) : nullptr;  // never destroyed: the driver may be gone before
  }();
  return made;
}

// cuBLAS counts down columns: to it ours are turned, and C^T = B^T A^T.
template <class T>
void start(const Gemm<T>& g, Product<T> one, Products<T> several) {
  const T alpha = 1, beta = g.add ? 1 : 0;
  const int b_op = g.b_turned ? kTranspose : kNoTranspose, a_op = g.a_turned ? kTranspose : kNoTranspose;
  const int m = static_cast<int>(g.m), n = static_cast<int>(g.n), k = static_cast<int>(g.k);
  const int a_row = static_cast<int>(g.a_row), b_row = static_cast<int>(g.b_row), c_row = static_cast<int>(g.c_row);
  const Handle handle = cublas()->handle;
  stream();  // what was gathered for it comes first
  const int mode = g.tf32 && sizeof(T) == 4 ? kTf32Math : kDefaultMath;
  check_status(cublas()->set_math_mode(handle, mode), "it doesn't take the precision");
  const int status = g.count == 1 ? one(handle, b_op, a_op, n, m, k, &alpha, g.b, b_row, g.a, a_row, &beta, g.c, c_row)
                                  : several(handle, b_op, a_op, n, m, k, &alpha, g.b, b_row, g.b_at, g.a, a_row, g.a_at,
                                            &beta, g.c, c_row, g.c_at, static_cast<int>(g.count));
  check_status(status, "a product can't be started");
}

}  // namespace

bool has_gemm() {
  const std::lock_guard<std::recursive_mutex> hold(launching());
  return cublas() != nullptr;
}

void gemm(const Gemm<float>& g) {
  const std::lock_guard<std::recursive_mutex> hold(launching());
  start(g, cublas()->sgemm, cublas()->sgemm_strided);
}

void gemm(const Gemm<double>& g) {
  const std::lock_guard<std::recursive_mutex> hold(launching());
  start(g, cublas()->dgemm, cublas()->dgemm_strided);
}

}  // namespace cuda
}  // namespace nengo_dl
