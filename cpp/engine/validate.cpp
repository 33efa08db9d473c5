#include "engine/validate.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/elements.h"
#include "engine/op_util.h"

namespace nengo_dl {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 40;  // in total, of buffers, parameters and state

[[noreturn]] void fail(const std::string& message) { throw ProgramError("program: " + message); }

std::string text(int64_t n) { return std::to_string(n); }

void add_size(int64_t size, const std::string& what, int64_t* total) {
  if (size < 0 || size > kMaxElements) fail(what + ": expected size 0 to 2^40, got " + text(size));
  *total += size;  // at most 2^40 added at a time, refused before it can overflow
  if (*total > kMaxElements) fail(what + " brings the program to more than 2^40 elements");
}

void check_turned(const Param& q) {
  const std::string what = "parameter '" + q.name + "'";
  if (q.rows == 0 && q.columns == 0) return;
  if (q.rows < 1 || q.columns < 1 || q.rows > kMaxElements / q.columns || q.size % (q.rows * q.columns))
    fail(what + ": expected rows and columns of matrices that its " + text(q.size) + " elements are made of, got " +
         text(q.rows) + " and " + text(q.columns));
  if (q.learned) fail(what + ": expected rows and columns 0, as it is learned, got " + text(q.rows));
}

void check_param(const Program& p, const Buffer& b, const std::string& what) {
  const bool has_param = b.kind == BufferKind::param || b.kind == BufferKind::learned;
  if (!has_param) {
    if (b.param != -1)
      fail(what + ": expected param -1, as only param and learned buffers have one, got " + text(b.param));
    return;
  }
  if (b.param < 0 || b.param >= static_cast<int64_t>(p.params.size()))
    fail(what + ": expected the number of one of " + text(p.params.size()) + " parameters, got " + text(b.param));
  const Param& q = p.params[b.param];
  if (q.learned != (b.kind == BufferKind::learned))
    fail(what + ": expected kind " + (q.learned ? "learned" : "param") + ", as its parameter '" + q.name +
         "' is, got " + (q.learned ? "param" : "learned"));
  if (q.size != b.size)
    fail(what + ": expected size " + text(q.size) + ", that of its parameter '" + q.name + "', got " + text(b.size));
}

void check_buffers(const Program& p, int64_t* total) {
  std::vector<std::pair<int64_t, const Buffer*>> ranges;
  std::set<int64_t> learned;
  for (const Buffer& b : p.buffers) {
    const std::string what = "buffer '" + b.name + "'";
    add_size(b.size, what, total);
    check_param(p, b, what);
    if (b.kind == BufferKind::learned && !learned.insert(b.param).second)
      fail(what + ": parameter '" + p.params[b.param].name + "' is in another buffer already");
    const bool in_state = b.kind == BufferKind::state || b.kind == BufferKind::carried;
    if (!in_state) {
      if (b.state_offset != -1)
        fail(what + ": expected state_offset -1, as only state and carried buffers have one, got " +
             text(b.state_offset));
      continue;
    }
    if (b.state_offset < 0 || b.state_offset > p.state_size - b.size)
      fail(what + ": expected a place within the " + text(p.state_size) + " elements of the state, got " +
           text(b.size) + " elements at " + text(b.state_offset));
    ranges.emplace_back(b.state_offset, &b);
  }
  // empty buffers lie between others without sharing anything
  ranges.erase(std::remove_if(ranges.begin(), ranges.end(), [](auto& r) { return r.second->size == 0; }), ranges.end());
  std::sort(ranges.begin(), ranges.end(), [](auto& a, auto& b) { return a.first < b.first; });
  for (size_t i = 1; i < ranges.size(); ++i)
    if (ranges[i - 1].first + ranges[i - 1].second->size > ranges[i].first)
      fail("buffers '" + ranges[i - 1].second->name + "' and '" + ranges[i].second->name + "' overlap in the state");
}

void check_shape(const OpRecord& op, const std::string& name, Operand& o) {
  const std::string what = "argument '" + name + "': ";
  if (o.shape.size() > kMaxRank)
    op.fail(what + "expected rank " + text(kMaxRank) + " at most, got " + text(o.shape.size()));
  if (o.strides.size() != o.shape.size())
    op.fail(what + "expected " + text(o.shape.size()) + " strides, one per dimension, got " + text(o.strides.size()));
  if (o.offsets.size() != static_cast<size_t>(op.blocks))
    op.fail(what + "expected an offset for each of " + text(op.blocks) + " blocks, got " + text(o.offsets.size()));
  int64_t count = op.blocks;
  for (int64_t d : o.shape) {
    if (d < 1) op.fail(what + "expected dimensions of at least 1, got " + text(d));
    if (__builtin_mul_overflow(count, d, &count) || count > kMaxElements)
      op.fail(what + "has more than 2^40 elements in its blocks");
  }
  for (size_t i = 0; i < o.shape.size(); ++i)
    if (o.shape[i] == 1) o.strides[i] = 1;  // never used, so it may hold any number, even one that can't be negated
}

void check_range(const OpRecord& op, const std::string& name, const Operand& o, const Program& p) {
  const std::string what = "argument '" + name + "': ";
  if (o.buffer < 0 || o.buffer >= static_cast<int64_t>(p.buffers.size()))
    op.fail(what + "expected the number of one of " + text(p.buffers.size()) + " buffers, got " + text(o.buffer));
  const Buffer& b = p.buffers[o.buffer];
  int64_t lowest, highest;
  bool good = extent(o, &lowest, &highest);
  for (size_t k = 0; good && k < o.offsets.size(); ++k) {
    int64_t first, last;
    good = !__builtin_add_overflow(o.offsets[k], lowest, &first) &&
           !__builtin_add_overflow(o.offsets[k], highest, &last) && first >= 0 && last < b.size;
  }
  if (!good) op.fail(what + "reaches outside buffer '" + b.name + "' of size " + text(b.size));
}

void check_access(const OpRecord& op, const std::string& name, const Operand& o, const Program& p, Access access) {
  const Buffer& b = p.buffers[o.buffer];
  const std::string what = "argument '" + name + "': ";
  const bool carried = b.kind == BufferKind::carried;
  if (o.shift != 0 && !(o.shift == 1 && carried))
    op.fail(what + "expected shift 0, or 1 in a carried buffer ('" + b.name + "' is " + (carried ? "one" : "none") +
            "), got " + text(o.shift));
  if (access == Access::read) return;
  if (b.kind == BufferKind::param)
    op.fail(what + "writes into buffer '" + b.name + "', which holds a constant parameter");
  if (carried && o.shift != 1)
    op.fail(what + "writes into the carried buffer '" + b.name + "': expected shift 1, got 0");
  if (access == Access::update && (b.kind == BufferKind::window || b.kind == BufferKind::local))
    op.fail(what + "keeps its value in buffer '" + b.name + "', which does not live from step to step");
}

void check_rank(const OpRecord& op, const std::string& name, Operand& o, const ArgSpec& spec) {
  const int rank = static_cast<int>(o.shape.size());
  if (spec.rank == 1 && rank == 0)
    o.shape = {1}, o.strides = {1};
  else if (spec.rank == 0 && o.shape == std::vector<int64_t>{1})
    o.shape.clear(), o.strides.clear();
  else if (spec.rank >= 0 && rank != spec.rank)
    op.fail("argument '" + name + "': expected rank " + text(spec.rank) + ", got " + text(rank));
}

void check_args(OpRecord& op, const Kind& kind, const Program& p) {
  for (auto& [name, o] : op.args) {
    const ArgSpec* spec = kind.find_arg(name);
    if (!spec) op.fail("has no argument '" + name + "'");
    check_shape(op, name, o);
    check_rank(op, name, o, *spec);
    check_range(op, name, o, p);
    check_access(op, name, o, p, spec->access);
  }
  for (const ArgSpec& spec : kind.args) {
    if (spec.name.back() != '*') {
      if (!spec.optional && !op.find_arg(spec.name)) op.fail("argument '" + spec.name + "' is missing");
      continue;
    }
    const std::string stem = spec.name.substr(0, spec.name.size() - 1);
    int64_t number = 0, found = 0;
    while (op.find_arg(stem + text(number))) ++number;
    for (const auto& entry : op.args) found += kind.find_arg(entry.first) == &spec;
    if (found != number) op.fail("arguments '" + spec.name + "' are not numbered 0, 1, 2 ..");
  }
}

// Reads alike and says what it is: an array without elements carries no type.
void check_attr(const OpRecord& op, const AttrSpec& spec, Attr& value) {
  const auto refuse = [&](const std::string& expected, const std::string& got) {
    op.fail("attribute '" + spec.name + "': expected " + expected + ", got " + got);
  };
  const auto* numbers = std::get_if<std::vector<double>>(&value);
  const auto* integers = std::get_if<std::vector<int64_t>>(&value);
  switch (spec.type) {
    case AttrType::integer:
      if (!std::holds_alternative<int64_t>(value)) refuse("an integer", describe(value));
      return;
    case AttrType::text:
      if (!std::holds_alternative<std::string>(value)) refuse("a string", describe(value));
      return;
    case AttrType::integers:
      if (numbers && numbers->empty()) value = std::vector<int64_t>();
      if (!std::holds_alternative<std::vector<int64_t>>(value)) refuse("an array of integers", describe(value));
      return;
    case AttrType::numbers:
      if (integers && integers->empty()) value = std::vector<double>();
      if (!std::holds_alternative<std::vector<double>>(value)) refuse("an array of floats", describe(value));
      return;
    case AttrType::number:
      if (!numbers) return refuse(spec.per_block ? "a float, or one for each block" : "a float", describe(value));
      if (numbers->size() == 1 || (spec.per_block && numbers->size() == static_cast<size_t>(op.blocks))) return;
      refuse(spec.per_block ? "1 value or " + text(op.blocks) + " (one per block)" : "1 value", text(numbers->size()));
  }
}

void check_attrs(OpRecord& op, const Kind& kind) {
  for (auto& [name, value] : op.attrs) {
    const AttrSpec* spec = kind.find_attr(name);
    if (!spec) op.fail("has no attribute '" + name + "'");
    check_attr(op, *spec, value);
  }
  for (const AttrSpec& spec : kind.attrs)
    if (!spec.optional && !op.has(spec.name)) op.fail("attribute '" + spec.name + "' is missing");
  if (!kind.settable.empty() && op.integer("set") != 0 && op.integer("set") != 1)
    op.fail("attribute 'set': expected 0 or 1, got " + text(op.integer("set")));
}

void check_local(const Program& p) {
  std::vector<int64_t> region_of(p.buffers.size(), -1);
  for (size_t r = 0; r < p.regions.size(); ++r)
    for (const OpRecord& op : p.regions[r].ops)
      for (const auto& [name, o] : op.args) {
        const Buffer& b = p.buffers[o.buffer];
        if (b.kind != BufferKind::local) continue;
        if (p.regions[r].kind != RegionKind::loop)
          op.fail("argument '" + name + "' uses the local buffer '" + b.name + "' in a sequence region");
        if (region_of[o.buffer] != -1 && region_of[o.buffer] != static_cast<int64_t>(r))
          op.fail("argument '" + name + "' uses the local buffer '" + b.name + "' of another region");
        region_of[o.buffer] = r;
      }
}

}  // namespace

bool extent(const Operand& o, int64_t* lowest, int64_t* highest) {
  *lowest = *highest = 0;
  for (size_t i = 0; i < o.shape.size(); ++i) {
    int64_t reach;
    if (__builtin_mul_overflow(o.shape[i] - 1, o.strides[i], &reach)) return false;
    int64_t* end = reach < 0 ? lowest : highest;
    if (__builtin_add_overflow(*end, reach, end)) return false;
  }
  return true;
}

void validate(Program& p) {
  if (!std::isfinite(p.dt) || p.dt < 0) fail("dt: expected 0 or more, got " + std::to_string(p.dt));
  if (p.window < 0) fail("window: expected 0 or more, got " + text(p.window));
  int64_t total = 0, words = 0, steps = kMostSteps;
  add_size(p.state_size, "the state", &total);
  add_size(p.istate_size, "the integer state", &words);
  for (const Param& q : p.params) {
    add_size(q.size, "parameter '" + q.name + "'", &total);
    check_turned(q);
  }
  for (const Port& q : p.inputs) add_size(q.size, "input '" + q.name + "'", &total);
  for (const Port& q : p.outputs) add_size(q.size, "output '" + q.name + "'", &total);
  check_buffers(p, &total);
  for (Region& region : p.regions)
    for (OpRecord& op : region.ops) {
      const Kind& kind = find_kind(op.kind);
      if (op.blocks < 1 || (op.blocks > 1 && !kind.slices))
        op.fail("expected " + std::string(kind.slices ? "at least 1 block" : "1 block") + ", got " + text(op.blocks));
      check_args(op, kind, p);
      check_attrs(op, kind);
      check_overlap(op, kind, &steps);
      if (kind.edge == Edge::python) {
        if (p.window != 1) op.fail("expected window 1 in a program that calls Python, got " + text(p.window));
        op.site = p.sites++;
      }
      if (kind.check) kind.check(op, p);
    }
  check_local(p);
}

}  // namespace nengo_dl
