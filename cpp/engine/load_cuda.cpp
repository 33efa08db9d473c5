// The CUDA backend is a library beside this one, which needs a GPU's driver: it is loaded when it is asked for.
#include <dlfcn.h>

#include <algorithm>
#include <stdexcept>
#include <string>

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

bool is_there() {
  const std::vector<std::string> names = backends();
  return std::find(names.begin(), names.end(), "cuda") != names.end();
}

}  // namespace

void load_cuda() {
  if (is_there()) return;
  const std::string path = beside_this_library();
  if (!dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    const char* reason = dlerror();
    throw std::runtime_error("the CUDA backend can't be loaded, this package was perhaps built without nvcc: " +
                             std::string(reason ? reason : path));
  }
  if (!is_there()) throw std::runtime_error("the CUDA backend: expected a GPU of NVIDIA and its driver, got none");
}

}  // namespace nengo_dl
