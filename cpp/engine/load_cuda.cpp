// The CUDA backend is a library beside this one, which needs a GPU's driver: it is loaded when it is asked for.
#include <dlfcn.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "engine/build_stamp.h"
#include "engine/engine.h"

namespace nengo_dl {
namespace {

constexpr const char* kLibrary = "libnengo_engine_cuda.so";

std::string beside_this_library() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&load_cuda), &info) || !info.dli_fname) return kLibrary;
  const std::string here = info.dli_fname;
  const size_t slash = here.rfind('/');
  return slash == std::string::npos ? kLibrary : here.substr(0, slash + 1) + kLibrary;
}

void* library = nullptr;  // of the backend, if it is loaded

// Whether the library was built with this one.
bool of_this_build() {
  const auto stamp = reinterpret_cast<const char* (*)()>(dlsym(library, "nengo_dl_cuda_stamp"));
  return stamp && std::string(stamp()) == NENGO_DL_BUILD_STAMP;
}

bool is_there() {
  const std::vector<std::string> names = backends();
  return std::find(names.begin(), names.end(), "cuda") != names.end();
}

void* in_library(const char* name) {
  if (!is_there() || !library) throw std::runtime_error("the CUDA backend: expected it to be loaded, got no library");
  return dlsym(library, name);
}

std::string other_build(const std::string& path) {
  return "the CUDA backend: expected a library of this build (" NENGO_DL_BUILD_STAMP "), got another at " + path +
         "; install the package again, as a whole";
}

}  // namespace

const char* build_stamp() { return NENGO_DL_BUILD_STAMP; }

std::string cuda_info() {
  std::string text;
  reinterpret_cast<void (*)(std::string*)>(in_library("nengo_dl_cuda_info"))(&text);
  return text;
}

double cuda_seconds() {
  double seconds = 0;
  reinterpret_cast<void (*)(double*)>(in_library("nengo_dl_cuda_seconds"))(&seconds);
  return seconds;
}

std::pair<int64_t, int64_t> cuda_memory() {
  std::pair<int64_t, int64_t> bytes;
  reinterpret_cast<void (*)(int64_t*, int64_t*)>(in_library("nengo_dl_cuda_memory"))(&bytes.first, &bytes.second);
  return bytes;
}

void load_cuda() {
  const std::string path = beside_this_library();
  if (library && !of_this_build()) throw std::runtime_error(other_build(path));
  if (is_there()) return;
  library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* reason = dlerror();
    throw std::runtime_error("the CUDA backend can't be loaded, this package was perhaps built without nvcc: " +
                             std::string(reason ? reason : path));
  }
  if (!of_this_build()) throw std::runtime_error(other_build(path));
  if (is_there()) return;
  std::string found;
  reinterpret_cast<void (*)(std::string*)>(dlsym(library, "nengo_dl_cuda_why_not"))(&found);
  throw std::runtime_error("the CUDA backend: expected a GPU of NVIDIA and its driver, got " + found);
}

}  // namespace nengo_dl
