// The accessors of an op's record.
#include "engine/program.h"

namespace nengo_dl {
namespace {

template <class T>
const T& typed(const OpRecord& op, const std::string& key, const char* expected) {
  auto it = op.attrs.find(key);
  if (it == op.attrs.end()) op.fail("attribute '" + key + "' is missing, expected " + expected);
  const T* value = std::get_if<T>(&it->second);
  if (!value) op.fail("attribute '" + key + "': expected " + expected + ", got " + describe(it->second));
  return *value;
}

}  // namespace

std::string describe(const Attr& value) {
  if (std::holds_alternative<int64_t>(value)) return "an integer";
  if (std::holds_alternative<std::string>(value)) return "a string";
  if (std::holds_alternative<std::vector<int64_t>>(value)) return "an array of integers";
  return std::get<std::vector<double>>(value).size() == 1 ? "a float" : "an array of floats";
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

std::string OpRecord::text(const std::string& key) const { return typed<std::string>(*this, key, "a string"); }

const std::vector<int64_t>& OpRecord::integers(const std::string& key) const {
  return typed<std::vector<int64_t>>(*this, key, "an array of integers");
}

const std::vector<double>& OpRecord::numbers(const std::string& key) const {
  return typed<std::vector<double>>(*this, key, "a float or an array of floats");
}

double OpRecord::number(const std::string& key) const {
  const std::vector<double>& values = numbers(key);
  if (values.size() != 1) fail("attribute '" + key + "': expected one value, got " + std::to_string(values.size()));
  return values[0];
}

std::vector<double> OpRecord::per_block(const std::string& key) const {
  const std::vector<double>& values = numbers(key);
  return values.size() == 1 ? std::vector<double>(blocks, values[0]) : values;
}

}  // namespace nengo_dl
