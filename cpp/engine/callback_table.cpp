// The tables of Python functions, by number.
#include <stdexcept>

#include "engine/engine.h"
#include "engine/numbered.h"

namespace nengo_dl {
namespace {

Numbered<std::shared_ptr<Callbacks>>& tables() {
  static auto* const all = new Numbered<std::shared_ptr<Callbacks>>;  // never destroyed: it may hold Python objects
  return *all;
}

}  // namespace

int64_t add_callbacks(std::shared_ptr<Callbacks> table) { return tables().add(std::move(table)); }

void remove_callbacks(int64_t handle) { tables().take(handle); }

std::shared_ptr<Callbacks> find_callbacks(int64_t handle) {
  std::shared_ptr<Callbacks> table = tables().find(handle);
  if (!table) throw std::out_of_range("no table of callbacks has the number " + std::to_string(handle));
  return table;
}

}  // namespace nengo_dl
