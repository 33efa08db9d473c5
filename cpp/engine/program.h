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

// A program that does not follow the rules; the message says where and what was expected.
struct NDL_API ProgramError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class BufferKind { param, learned, state, carried, window, local };
// Its values lie in the state or parameters themselves and change there, without a row per step.
inline bool in_place(BufferKind kind) { return kind == BufferKind::state || kind == BufferKind::learned; }

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
  // Every `rows` x `columns` elements are a matrix that lies column by column outside and row by row in the program's
  // buffers; 0: elements lie outside as they do inside.
  int64_t rows, columns;

  bool turns() const { return rows > 0; }
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

// A single float is kept as an array of one, so that attributes which hold 1 or `blocks` values read alike.
using Attr = std::variant<int64_t, std::string, std::vector<int64_t>, std::vector<double>>;
std::string describe(const Attr& value);  // its type, for messages

struct NDL_API OpRecord {
  std::string kind;
  std::string name;
  int64_t blocks;
  std::map<std::string, Operand> args;
  std::map<std::string, Attr> attrs;
  int64_t site = -1;  // of a `callback` op: its number among those of the program (set by validate())

  // Typed access; each throws ProgramError naming the op if the entry is missing or of another type.
  const Operand& arg(const std::string& key) const;
  const Operand* find_arg(const std::string& key) const;  // nullptr if absent
  int64_t integer(const std::string& key) const;
  double number(const std::string& key) const;  // a float attribute holding one value
  std::string text(const std::string& key) const;
  const std::vector<int64_t>& integers(const std::string& key) const;
  const std::vector<double>& numbers(const std::string& key) const;
  std::vector<double> per_block(
      const std::string& key) const;  // `blocks` values of a float attribute that holds 1 or so many
  bool has(const std::string& attr) const { return attrs.count(attr) != 0; }
  bool set() const { return has("set") && integer("set") == 1; }  // overwrites its target instead of adding to it
  [[noreturn]] void fail(const std::string& message) const;       // ProgramError("op 'kind' (name): message")
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
  int64_t sites = 0;  // number of `callback` ops
};

constexpr uint32_t kProgramVersion = 1;  // that this library reads

// Reads and validates: after it returns, every index, shape, offset and size that the generic rules of docs/PROGRAM.md
// name has been checked, and each kind's own check (engine/kind.h) has accepted it. Throws ProgramError.
NDL_API Program read_program(std::string_view bytes);

}  // namespace nengo_dl
