// Programs made by hand for the engine's C++ tests, as bytes (docs/PROGRAM.md, "Bytes").
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace program_bytes {

template <class T>
std::string raw(T value) {  // little endian, as every machine this builds on
  std::string bytes(sizeof value, '\0');
  std::memcpy(&bytes[0], &value, sizeof value);
  return bytes;
}

inline std::string integer(int64_t value) { return "i" + raw(value); }
inline std::string number(double value) { return "f" + raw(value); }
inline std::string text(const std::string& value) { return "s" + raw(static_cast<uint32_t>(value.size())) + value; }

template <class T>
std::string array(char tag, const std::vector<T>& values) {
  std::string bytes = tag + raw(static_cast<uint32_t>(values.size()));
  for (const T& v : values) bytes += raw(v);
  return bytes;
}
inline std::string integers(const std::vector<int64_t>& values) { return array('I', values); }
inline std::string numbers(const std::vector<double>& values) { return array('F', values); }

inline std::string list(const std::vector<std::string>& items) {
  std::string bytes = "L" + raw(static_cast<uint32_t>(items.size()));
  for (const std::string& item : items) bytes += item;
  return bytes;
}

using Entries = std::vector<std::pair<std::string, std::string>>;  // keys must ascend
inline std::string dict(const Entries& entries) {
  std::string bytes = "D" + raw(static_cast<uint32_t>(entries.size()));
  for (const auto& [key, value] : entries) bytes += raw(static_cast<uint16_t>(key.size())) + key + value;
  return bytes;
}

inline std::string buffer(const std::string& kind, int64_t size, int64_t param = -1, int64_t state_offset = -1) {
  return dict({{"kind", text(kind)},
               {"name", text(kind)},
               {"param", integer(param)},
               {"size", integer(size)},
               {"state_offset", integer(state_offset)}});
}

inline std::string param(int64_t size, bool learned = false) {
  return dict({{"columns", integer(0)},
               {"learned", integer(learned)},
               {"name", text("param")},
               {"rows", integer(0)},
               {"size", integer(size)}});
}

inline std::string port(int64_t size) { return dict({{"name", text("port")}, {"size", integer(size)}}); }

struct Slice {  // in C order, unless strides are given
  int64_t buffer;
  std::vector<int64_t> shape = {};
  std::vector<int64_t> offsets = {0};
  int64_t shift = 0;
  std::vector<int64_t> strides = {};
};

inline std::string operand(Slice v) {
  if (v.strides.empty()) {
    v.strides.assign(v.shape.size(), 1);
    for (size_t i = v.shape.size(); i-- > 1;) v.strides[i - 1] = v.strides[i] * v.shape[i];
  }
  return dict({{"buffer", integer(v.buffer)},
               {"offsets", integers(v.offsets)},
               {"shape", integers(v.shape)},
               {"shift", integer(v.shift)},
               {"strides", integers(v.strides)}});
}

inline std::string op(const std::string& kind, const std::vector<std::pair<std::string, Slice>>& args,
                      const Entries& attrs = {}, int64_t blocks = 1) {
  Entries operands;
  for (const auto& [name, view] : args) operands.emplace_back(name, operand(view));
  return dict({{"args", dict(operands)},
               {"attrs", dict(attrs)},
               {"blocks", integer(blocks)},
               {"kind", text(kind)},
               {"name", text(kind)}});
}

inline std::string region(const std::string& kind, const std::vector<std::string>& ops) {
  return dict({{"kind", text(kind)}, {"ops", list(ops)}});
}

struct Parts {
  std::vector<std::string> buffers, regions;
  std::vector<std::string> inputs = {}, outputs = {}, params = {};
  int64_t state_size = 0;
  std::string dtype = "float64";
  double dt = 0.001;
  int64_t window = 0;
};

inline std::string program(const Parts& p) {
  return "NDLP" + raw(uint32_t{1}) +
         dict({{"buffers", list(p.buffers)},
               {"dt", number(p.dt)},
               {"dtype", text(p.dtype)},
               {"inputs", list(p.inputs)},
               {"istate_size", integer(0)},
               {"outputs", list(p.outputs)},
               {"params", list(p.params)},
               {"regions", list(p.regions)},
               {"state_size", integer(p.state_size)},
               {"window", integer(p.window)}});
}

}  // namespace program_bytes
