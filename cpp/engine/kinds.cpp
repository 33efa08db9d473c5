// The table of op kinds, filled by the files of cpp/ops.
#include <algorithm>
#include <map>
#include <stdexcept>

#include "engine/kind.h"

namespace nengo_dl {
namespace {

std::map<std::string, Kind>& table() {
  // inside a function: registrations run before main in any order; never destroyed: runs may go on at its end
  static auto* const kinds = new std::map<std::string, Kind>;
  return *kinds;
}

// "in3" is one of "in*".
bool is_numbered(const std::string& name, const std::string& pattern) {
  const size_t stem = pattern.size() - 1;
  if (pattern[stem] != '*' || name.size() <= stem || name.size() > stem + 6) return false;
  if (name.compare(0, stem, pattern, 0, stem) != 0) return false;
  const std::string digits = name.substr(stem);
  return digits.find_first_not_of("0123456789") == std::string::npos && (digits[0] != '0' || digits.size() == 1);
}

}  // namespace

const ArgSpec* Kind::find_arg(const std::string& arg) const {
  for (const ArgSpec& a : args)
    if (a.name == arg || is_numbered(arg, a.name)) return &a;
  return nullptr;
}

const AttrSpec* Kind::find_attr(const std::string& attr) const {
  for (const AttrSpec& a : attrs)
    if (a.name == attr) return &a;
  return nullptr;
}

GradientFacts Kind::gradient_of(const OpRecord& op) const {
  return gradient == Gradient::type ? gradient_by_type(op) : GradientFacts{gradient == Gradient::exact, reads};
}

Access access_of(const Kind& kind, const OpRecord& op, const std::string& arg) {
  return arg == kind.settable && op.set() ? Access::write : kind.find_arg(arg)->access;
}

void register_kind(Kind kind) {
  const std::string name = kind.name;
  if (!table().emplace(name, std::move(kind)).second)
    throw std::logic_error("op kind '" + name + "' is registered twice");
}

const Kind& find_kind(const std::string& name) {
  auto it = table().find(name);
  if (it != table().end()) return it->second;
  std::string known;
  for (const auto& entry : table()) known += (known.empty() ? "" : ", ") + entry.first;
  throw ProgramError("unknown op kind '" + name + "', this library knows: " + known);
}

std::vector<std::string> kind_names() {
  std::vector<std::string> names;
  for (const auto& entry : table()) names.push_back(entry.first);
  return names;
}

}  // namespace nengo_dl
