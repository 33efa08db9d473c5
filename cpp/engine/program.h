// The records of a program (docs/PROGRAM.md) and the reader that validates them.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/api.h"

namespace nengo_dl {

// A program that does not follow the rules; the message says where and what was due.
struct NDL_API ProgramError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class BufferKind { param, learned, state, carried, window, local };
enum class RegionKind { sequence, loop };
enum class Access { read, write, inc, update };

struct Buffer {
  BufferKind kind;
  std::string name;
  int64_t size;          // elements per row and item
  int64_t param;         // index into params, or -1
  int64_t state_offset;  // first column in the packed state, or -1
};

struct Param {
  std::string name;
  int64_t size;
  bool learned;  // one copy per item, changed while running
};

struct Port {
  std::string name;
  int64_t size;
};

// A strided view of a buffer, one per block, in elements.
struct Operand {
  int64_t buffer;
  int64_t shift;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  std::vector<int64_t> offsets;

  int64_t count() const {  // elements of one block
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
};

// The reader keeps a single float as an array of one, so that attributes which hold 1 or `blocks` values read alike.
using Attr = std::variant<int64_t, double, std::string, std::vector<int64_t>, std::vector<double>>;

struct NDL_API OpRecord {
  std::string kind;
  std::string name;
  int64_t blocks;
  std::map<std::string, Operand> args;
  std::map<std::string, Attr> attrs;

  // Typed access; each throws ProgramError naming the op if the entry is missing or of another type.
  const Operand& arg(const std::string& key) const;
  const Operand* find_arg(const std::string& key) const;  // nullptr if absent
  int64_t integer(const std::string& key) const;
  int64_t integer(const std::string& key, int64_t otherwise) const;
  double number(const std::string& key) const;  // a float attribute holding one value
  std::string text(const std::string& key) const;
  const std::vector<int64_t>& integers(const std::string& key) const;
  const std::vector<double>& numbers(const std::string& key) const;  // 1 or `blocks` values are the caller's check
  [[noreturn]] void fail(const std::string& message) const;          // ProgramError("op 'kind' (name): message")
};

struct Region {
  RegionKind kind;
  std::vector<OpRecord> ops;
};

struct Program {
  bool float64;
  double dt;
  int64_t window;
  int64_t state_size;
  int64_t istate_size;
  std::vector<Buffer> buffers;
  std::vector<Param> params;
  std::vector<Port> inputs;
  std::vector<Port> outputs;
  std::vector<Region> regions;
};

// Reads and validates: after it returns, every index, shape, offset and size that the generic rules of docs/PROGRAM.md
// name has been checked, and each op's own check (its registration) has accepted it. Throws ProgramError.
NDL_API Program read_program(std::string_view bytes);

}  // namespace nengo_dl
