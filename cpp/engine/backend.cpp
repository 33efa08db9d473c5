#include "engine/backend.h"

#include <stdexcept>

namespace nengo_dl {

void Backend::add_kernel(const std::string& kind, KernelMaker maker) {
  if (!kernels_.emplace(kind, std::move(maker)).second)
    throw std::logic_error("backend '" + name_ + "' has a kernel for op kind '" + kind + "' already");
}

const KernelMaker& Backend::find_kernel(const std::string& kind) const {
  auto it = kernels_.find(kind);
  if (it != kernels_.end()) return it->second;
  std::string known;
  for (const auto& entry : kernels_) known += (known.empty() ? "" : ", ") + entry.first;
  throw ProgramError("backend '" + name_ + "' has no kernel for op kind '" + kind + "', it has: " + known);
}

Backend& cpu_backend() {
  static Backend cpu("cpu");  // inside a function: registrations run before main in any order
  return cpu;
}

}  // namespace nengo_dl
