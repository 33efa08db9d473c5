#include "engine/backend.h"

#include <mutex>
#include <stdexcept>

#include "engine/engine.h"
#include "engine/fusion.h"

namespace nengo_dl {

Backend::Backend(std::string name, Space& space, const Tiling& tiling)
    : name_(std::move(name)), space_(space), tiling_(tiling) {}
Backend::~Backend() = default;

void Backend::add_fusion(Fusion fusion) { fusions_.push_back(std::move(fusion)); }

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
  // inside a function: registrations run before main in any order; never destroyed: runs may go on at its end
  static auto* const cpu = new Backend("cpu", host_space(), cpu_tiling());
  return *cpu;
}

namespace {

std::mutex lock;
std::map<std::string, std::unique_ptr<Backend>>& others() {
  static auto* const table = new std::map<std::string, std::unique_ptr<Backend>>;  // likewise
  return *table;
}

}  // namespace

void add_backend(std::unique_ptr<Backend> backend) {
  std::lock_guard<std::mutex> hold(lock);
  const std::string name = backend->name();
  if (name == cpu_backend().name() || !others().emplace(name, std::move(backend)).second)
    throw std::logic_error("there is a backend '" + name + "' already");
}

const Backend& find_backend(const std::string& name) {
  if (name == cpu_backend().name()) return cpu_backend();
  std::string known = cpu_backend().name();
  std::lock_guard<std::mutex> hold(lock);
  for (const auto& [other, backend] : others()) {
    if (other == name) return *backend;
    known += ", " + other;
  }
  throw std::invalid_argument("backend: expected one of " + known + ", got '" + name + "'");
}

std::vector<std::string> backends() {
  std::vector<std::string> names{cpu_backend().name()};
  std::lock_guard<std::mutex> hold(lock);
  for (const auto& entry : others()) names.push_back(entry.first);
  return names;
}

}  // namespace nengo_dl
