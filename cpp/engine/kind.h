// What an op kind is, whoever runs it: its arguments and attributes, how derivatives pass through it, what may be done
// with its ops. Verifier, flow and tape read these facts; backends (engine/backend.h) hold the kernels. The planner has
// the same table (python/nengo_dl/ir/kinds.py), a test compares them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/program.h"

namespace nengo_dl {

struct ArgSpec {
  std::string name;  // a trailing '*' stands for a number (in*, out*, state*)
  Access access;
  int rank = -1;  // -1: any
  bool optional = false;
  bool old_value = true;  // false: updated without a look at the value of the step before
};

enum class AttrType { integer, number, text, integers, numbers };

struct AttrSpec {
  std::string name;
  AttrType type;
  bool per_block = false;  // one value for all blocks, or one for each
  bool optional = false;
};

// How derivatives pass from what an op writes to what it reads: exactly, as its neuron type says, or not at all.
enum class Gradient { none, exact, type };

// What an op is to the outside: a model input or output (attribute `index` says which), a call of Python function
// `index`, or nothing.
enum class Edge { none, input, output, python };

// Of one op.
struct GradientFacts {
  bool passes = false;             // derivatives pass through it
  std::vector<std::string> reads;  // arguments whose values the way back may look at
};

struct NDL_API Kind {
  std::string name;
  std::vector<ArgSpec> args;
  std::vector<AttrSpec> attrs = {};
  std::string settable = "";  // the argument that attribute `set` turns from inc to write
  bool merges = true;         // equal ops may become blocks of one op; never those that draw
  bool slices = true;         // an op of several blocks may be cut into several ops; false: it has one block
  bool lanes = false;         // elements along the first axis of its arguments have nothing to do with each other
  // Arguments, among them all that are written, of which row i of an op takes row i alone (along their first axis): it
  // reads all others whole. Empty: rows have to do with each other.
  std::vector<std::string> rows = {};
  Gradient gradient = Gradient::none;
  std::vector<std::string> reads = {};  // GradientFacts::reads of all ops, if the gradient is exact
  Edge edge = Edge::none;
  std::string elements = "";  // the attribute that lists which elements of `settable` are written; "": all
  // Relations between shapes and attributes, which have their types already; throws ProgramError.
  std::function<void(const OpRecord&, const Program&)> check = nullptr;
  std::function<GradientFacts(const OpRecord&)> gradient_by_type = nullptr;
  // What else of an op changes when `part` has `count` of its rows, from `first` on.
  std::function<void(const OpRecord& op, int64_t first, int64_t count, OpRecord* part)> cut_rows = nullptr;

  // An argument that is a matrix without having two axes: all rows of a window share what reading it costs.
  std::string matrix = "";
  // How often a step of an item uses each element of the op's weights, if not once.
  std::function<double(const OpRecord&)> uses = nullptr;

  // The argument of this name, numbered ones ("in3" for "in*") too; nullptr if the kind has none such.
  const ArgSpec* find_arg(const std::string& name) const;
  const AttrSpec* find_attr(const std::string& name) const;
  GradientFacts gradient_of(const OpRecord& op) const;
};

// What an op does to an argument: its kind's access, or write where attribute `set` says so.
Access access_of(const Kind& kind, const OpRecord& op, const std::string& arg);

// The registry. Registering a kind twice throws; looking up an unknown one lists the known ones.
void register_kind(Kind kind);
NDL_API const Kind& find_kind(const std::string& name);
NDL_API std::vector<std::string> kind_names();

// In a .cpp of cpp/ops: `const KindRegistration dense({"dense", {{"A", Access::read, 2}, ..}, ..});`
struct KindRegistration {
  explicit KindRegistration(Kind kind) { register_kind(std::move(kind)); }
};

// The attribute of kinds whose target may be overwritten (1) or incremented (0).
inline const AttrSpec kSet{"set", AttrType::integer};

}  // namespace nengo_dl
