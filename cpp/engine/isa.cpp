#include "engine/isa.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace nengo_dl {
namespace {

const char* name_of(Isa set) { return set == Isa::avx512 ? "avx512" : set == Isa::avx2 ? "avx2" : "baseline"; }

std::vector<Isa> available() {
  std::vector<Isa> sets = {Isa::baseline};
#if defined(__x86_64__) && !defined(NDL_ONLY_BASELINE)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    sets.push_back(Isa::avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw"))
      sets.push_back(Isa::avx512);
  }
#endif
  return sets;
}

Isa parse(const std::string& name, const std::string& source) {
  std::string known;
  for (Isa set : available()) {
    if (name == name_of(set)) return set;
    known += (known.empty() ? "" : ", ") + std::string(name_of(set));
  }
  throw std::invalid_argument(source + ": no instruction set '" + name + "' here, choose one of: " + known);
}

std::atomic<int>& chosen() {
  // A bad NENGO_DL_ISA throws here, on every first use, not while the library is being loaded.
  static std::atomic<int> set = [] {
    const char* forced = std::getenv("NENGO_DL_ISA");
    return static_cast<int>(forced && *forced ? parse(forced, "NENGO_DL_ISA") : available().back());
  }();
  return set;
}

}  // namespace

Isa current_isa() { return static_cast<Isa>(chosen().load()); }
std::string isa() { return name_of(current_isa()); }
void set_isa(const std::string& name) { chosen() = static_cast<int>(parse(name, "set_isa")); }

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (Isa set : available()) names.push_back(name_of(set));
  return names;
}

}  // namespace nengo_dl
