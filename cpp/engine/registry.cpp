// The table of op kinds, the accessors of an op's record, and the table of callbacks.
#include <map>
#include <mutex>
#include <stdexcept>

#include "engine/engine.h"
#include "engine/op.h"

namespace nengo_dl {
namespace {

std::map<std::string, OpSpec>& table() {
  static std::map<std::string, OpSpec> specs;  // inside a function: registrations run before main in any order
  return specs;
}

template <class T>
const T& typed(const OpRecord& op, const std::string& key, const char* due) {
  auto it = op.attrs.find(key);
  if (it == op.attrs.end()) op.fail("attribute '" + key + "' is missing, " + due + " was due");
  const T* value = std::get_if<T>(&it->second);
  if (!value) op.fail("attribute '" + key + "' is not " + due);
  return *value;
}

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

void register_op(OpSpec spec) {
  const std::string kind = spec.kind;
  if (!table().emplace(kind, std::move(spec)).second)
    throw std::logic_error("op kind '" + kind + "' is registered twice");
}

const OpSpec& find_op(const std::string& kind) {
  auto it = table().find(kind);
  if (it != table().end()) return it->second;
  std::string known;
  for (const auto& entry : table()) known += (known.empty() ? "" : ", ") + entry.first;
  throw ProgramError("unknown op kind '" + kind + "', this library knows: " + known);
}

std::vector<std::string> op_kinds() {
  std::vector<std::string> kinds;
  for (const auto& entry : table()) kinds.push_back(entry.first);
  return kinds;
}

void OpRecord::fail(const std::string& message) const {
  throw ProgramError("op '" + kind + "' (" + name + "): " + message);
}

const Operand* OpRecord::find_arg(const std::string& key) const {
  auto it = args.find(key);
  return it == args.end() ? nullptr : &it->second;
}

const Operand& OpRecord::arg(const std::string& key) const {
  if (const Operand* o = find_arg(key)) return *o;
  fail("argument '" + key + "' is missing");
}

int64_t OpRecord::integer(const std::string& key) const { return typed<int64_t>(*this, key, "an integer"); }

int64_t OpRecord::integer(const std::string& key, int64_t otherwise) const {
  return attrs.count(key) ? integer(key) : otherwise;
}

std::string OpRecord::text(const std::string& key) const { return typed<std::string>(*this, key, "a string"); }

const std::vector<int64_t>& OpRecord::integers(const std::string& key) const {
  return typed<std::vector<int64_t>>(*this, key, "an array of integers");
}

const std::vector<double>& OpRecord::numbers(const std::string& key) const {
  static const std::vector<double> none;
  auto it = attrs.find(key);  // an empty array carries no type
  if (it != attrs.end())
    if (auto* empty = std::get_if<std::vector<int64_t>>(&it->second); empty && empty->empty()) return none;
  return typed<std::vector<double>>(*this, key, "a float or an array of floats");
}

double OpRecord::number(const std::string& key) const {
  const std::vector<double>& values = numbers(key);
  if (values.size() != 1) fail("attribute '" + key + "' has " + std::to_string(values.size()) + " values, one was due");
  return values[0];
}

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
