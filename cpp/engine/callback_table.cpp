// The tables of Python functions, by number.
#include <map>
#include <mutex>
#include <stdexcept>

#include "engine/engine.h"

namespace nengo_dl {
namespace {

struct CallbackTable {
  std::mutex lock;
  std::map<int64_t, std::shared_ptr<Callbacks>> entries;
  int64_t next = 0;
};
CallbackTable& callback_table() {
  static CallbackTable* t = new CallbackTable;  // never destroyed: entries may hold Python objects
  return *t;
}

}  // namespace

int64_t add_callbacks(std::shared_ptr<Callbacks> entry) {
  CallbackTable& t = callback_table();
  std::lock_guard<std::mutex> hold(t.lock);
  t.entries[t.next] = std::move(entry);
  return t.next++;
}

void remove_callbacks(int64_t handle) {
  CallbackTable& t = callback_table();
  std::shared_ptr<Callbacks> gone;  // destroyed after the lock is released: it may run Python code
  std::lock_guard<std::mutex> hold(t.lock);
  auto it = t.entries.find(handle);
  if (it == t.entries.end()) return;
  gone = std::move(it->second);
  t.entries.erase(it);
}

std::shared_ptr<Callbacks> find_callbacks(int64_t handle) {
  CallbackTable& t = callback_table();
  std::lock_guard<std::mutex> hold(t.lock);
  auto it = t.entries.find(handle);
  if (it == t.entries.end()) throw std::out_of_range("no table of callbacks has the number " + std::to_string(handle));
  return it->second;
}

}  // namespace nengo_dl
