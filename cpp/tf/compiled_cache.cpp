#include "tf/compiled_cache.h"

#include <mutex>
#include <unordered_map>

#include "absl/strings/str_cat.h"

namespace nengo_dl {
namespace {

std::shared_ptr<const Compiled> compile_cached(const std::string& bytes, const std::string& backend) {
  // never destroyed: kernels may outlive the end of main
  static auto* mutex = new std::mutex;
  static auto* cache = new std::unordered_map<std::string, std::weak_ptr<const Compiled>>;
  const std::string key = absl::StrCat(backend, ":", bytes);
  {
    std::lock_guard<std::mutex> lock(*mutex);
    const auto found = cache->find(key);
    if (found != cache->end()) {
      if (auto compiled = found->second.lock()) return compiled;
    }
  }
  // compiled outside the lock; if two threads come here at once, both results are good
  auto compiled = std::make_shared<const Compiled>(bytes, backend);
  std::lock_guard<std::mutex> lock(*mutex);
  for (auto it = cache->begin(); it != cache->end();) {  // forget programs that nobody holds
    it = it->second.expired() ? cache->erase(it) : std::next(it);
  }
  (*cache)[key] = compiled;
  return compiled;
}

}  // namespace

absl::Status compile(const char* op, const std::string& bytes, const std::string& backend,
                     std::shared_ptr<const Compiled>* compiled) {
  try {
    *compiled = compile_cached(bytes, backend);
  } catch (const ProgramError& e) {
    return absl::InvalidArgumentError(absl::StrCat(op, ": ", e.what()));
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat(op, ": the program can't be compiled: ", e.what()));
  }
  return absl::OkStatus();
}

}  // namespace nengo_dl
