// Bytes to records. Every count is checked against the bytes that are left before anything is allocated for it; the
// grammar is fixed, so nesting can't be deeper than the records are.
#include <cstring>

#include "engine/validate.h"

namespace nengo_dl {
namespace {

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  Program program();

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw ProgramError("malformed program at byte " + std::to_string(pos_) + ": " + message);
  }

  const char* take(uint64_t count) {
    if (count > bytes_.size() - pos_)
      fail("truncated: expected " + std::to_string(count) + " bytes, got " + std::to_string(bytes_.size() - pos_));
    const char* p = bytes_.data() + pos_;
    pos_ += count;
    return p;
  }

  template <class T>
  T raw() {  // little endian, as every machine this builds on
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    return value;
  }

  // A program from elsewhere may hold any byte.
  static std::string tag_text(char tag) {
    const int code = static_cast<unsigned char>(tag);
    return code > ' ' && code < 127 ? std::string("tag '") + tag + "'" : "byte " + std::to_string(code);
  }

  void tag(char expected, const char* what) {
    const char got = *take(1);
    if (got == expected) return;
    --pos_;
    fail(std::string("expected ") + what + " (tag '" + expected + "'), got " + tag_text(got));
  }

  uint32_t count(uint64_t bytes_each) {
    const uint32_t n = raw<uint32_t>();
    if (n > (bytes_.size() - pos_) / bytes_each) fail("a count of " + std::to_string(n) + " is more than what is left");
    return n;
  }

  int64_t integer() {
    tag('i', "an integer");
    return raw<int64_t>();
  }

  double number() {
    tag('f', "a float");
    return raw<double>();
  }

  std::string string() {
    tag('s', "a string");
    return utf8(raw<uint32_t>());
  }

  std::string name();
  std::string utf8(uint64_t length);

  template <class T>
  std::vector<T> array() {
    const uint32_t n = count(8);
    std::vector<T> values(n);
    if (n) std::memcpy(values.data(), take(8 * uint64_t{n}), 8 * uint64_t{n});
    return values;
  }

  std::vector<int64_t> integers() {
    tag('I', "an array of integers");
    return array<int64_t>();
  }

  std::string key() { return utf8(raw<uint16_t>()); }

  // A record: exactly these keys, in this (ascending) order.
  void record(uint32_t keys, const char* what) {
    tag('D', what);
    const uint32_t n = count(3);
    if (n != keys) fail(std::string(what) + ": expected " + std::to_string(keys) + " keys, got " + std::to_string(n));
  }
  void key(const char* expected) {
    const std::string got = key();
    if (got != expected) fail("expected key '" + std::string(expected) + "', got '" + got + "'");
  }

  template <class F>
  void each_entry(const char* what, F&& f) {  // a dict with free keys
    tag('D', what);
    std::string last;
    for (uint32_t n = count(3), i = 0; i < n; ++i) {
      std::string k = key();
      if (i && !(last < k)) fail("expected ascending keys, got '" + k + "' after '" + last + "'");
      last = k;
      f(std::move(k));
    }
  }

  template <class T, class F>
  std::vector<T> list(const char* what, F&& one) {
    tag('L', what);
    std::vector<T> items;
    for (uint32_t n = count(5), i = 0; i < n; ++i) items.push_back(one());
    return items;
  }

  Buffer buffer();
  Param param();
  Port port();
  Operand operand();
  Attr attr();
  OpRecord op();
  Region region();

  std::string_view bytes_;
  size_t pos_ = 0;
  int64_t ops_ = 0;
};

// Names reach Python and terminals, so they must be text: no stray bytes, no overlong forms, no surrogates.
std::string Reader::utf8(uint64_t length) {
  const char* p = take(length);
  const std::string text(p, length);
  for (size_t i = 0; i < length;) {
    const unsigned char c = text[i];
    const int more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : (c & 0xF0) == 0xE0 ? 2 : c >= 0xF0 && c < 0xF5 ? 3 : -1;
    bool good = more >= 0 && i + more < length;
    for (int k = 1; good && k <= more; ++k) good = (static_cast<unsigned char>(text[i + k]) & 0xC0) == 0x80;
    if (good && more > 1) {
      const unsigned char d = text[i + 1];
      good = !(c == 0xE0 && d < 0xA0) && !(c == 0xED && d >= 0xA0) && !(c == 0xF0 && d < 0x90) &&
             !(c == 0xF4 && d >= 0x90);
    }
    if (!good) fail("a string is not UTF-8");
    i += 1 + more;
  }
  return text;
}

// Names are for messages alone, where Nengo's may hold the index list of a connection: of long ones the ends are kept.
std::string Reader::name() {
  constexpr size_t kMost = 200, kBegin = 130, kEnd = 60;
  const std::string text = string();
  if (text.size() <= kMost) return text;
  const auto within = [&](size_t i) { return (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80; };  // a character
  size_t begin = kBegin, end = text.size() - kEnd;
  while (within(begin)) --begin;
  while (within(end)) --end;
  return text.substr(0, begin) + " ... " + text.substr(end);
}

Buffer Reader::buffer() {
  static const std::map<std::string, BufferKind> kinds = {
      {"param", BufferKind::param},     {"learned", BufferKind::learned}, {"state", BufferKind::state},
      {"carried", BufferKind::carried}, {"window", BufferKind::window},   {"local", BufferKind::local}};
  Buffer b;
  record(5, "a buffer");
  key("kind");
  const std::string kind = string();
  auto it = kinds.find(kind);
  if (it == kinds.end()) fail("unknown buffer kind '" + kind + "'");
  b.kind = it->second;
  key("name"), b.name = name();
  key("param"), b.param = integer();
  key("size"), b.size = integer();
  key("state_offset"), b.state_offset = integer();
  return b;
}

Param Reader::param() {
  Param p;
  record(5, "a parameter");
  key("columns"), p.columns = integer();
  key("learned");
  const int64_t learned = integer();
  if (learned != 0 && learned != 1) fail("'learned': expected 0 or 1, got " + std::to_string(learned));
  p.learned = learned == 1;
  key("name"), p.name = name();
  key("rows"), p.rows = integer();
  key("size"), p.size = integer();
  return p;
}

Port Reader::port() {
  Port p;
  record(2, "a model input or output");
  key("name"), p.name = name();
  key("size"), p.size = integer();
  return p;
}

Operand Reader::operand() {
  Operand o;
  record(5, "an operand");
  key("buffer"), o.buffer = integer();
  key("offsets"), o.offsets = integers();
  key("shape"), o.shape = integers();
  key("shift"), o.shift = integer();
  key("strides"), o.strides = integers();
  return o;
}

Attr Reader::attr() {
  switch (*take(1)) {
    case 'i':
      return raw<int64_t>();
    case 'f':
      return std::vector<double>{raw<double>()};
    case 's':
      return utf8(raw<uint32_t>());
    case 'I':
      return array<int64_t>();
    case 'F':
      return array<double>();
  }
  --pos_;
  fail("expected an attribute that is an integer, a float, a string or an array of numbers, got " +
       tag_text(bytes_[pos_]));
}

OpRecord Reader::op() {
  constexpr int64_t kMaxOps = int64_t{1} << 20;
  if (++ops_ > kMaxOps) fail("expected at most " + std::to_string(kMaxOps) + " ops, got more");
  OpRecord r;
  record(5, "an op");
  key("args"), each_entry("the arguments of an op", [&](std::string k) { r.args.emplace(std::move(k), operand()); });
  key("attrs"), each_entry("the attributes of an op", [&](std::string k) { r.attrs.emplace(std::move(k), attr()); });
  key("blocks"), r.blocks = integer();
  key("kind"), r.kind = string();
  key("name"), r.name = name();
  return r;
}

Region Reader::region() {
  Region r;
  record(2, "a region");
  key("kind");
  const std::string kind = string();
  if (kind != "sequence" && kind != "loop") fail("region kind: expected sequence or loop, got '" + kind + "'");
  r.kind = kind == "loop" ? RegionKind::loop : RegionKind::sequence;
  key("ops"), r.ops = list<OpRecord>("a list of ops", [&] { return op(); });
  return r;
}

Program Reader::program() {
  if (bytes_.size() < 8 || bytes_.substr(0, 4) != "NDLP") fail("not a program: it does not start with NDLP");
  pos_ = 4;
  const uint32_t version = raw<uint32_t>();
  if (version != kProgramVersion)
    fail("program version: expected " + std::to_string(kProgramVersion) + ", got " + std::to_string(version));
  Program p;
  record(10, "a program");
  key("buffers"), p.buffers = list<Buffer>("a list of buffers", [&] { return buffer(); });
  key("dt"), p.dt = number();
  key("dtype");
  const std::string dtype = string();
  if (dtype != "float32" && dtype != "float64") fail("dtype: expected float32 or float64, got '" + dtype + "'");
  p.float64 = dtype == "float64";
  key("inputs"), p.inputs = list<Port>("a list of inputs", [&] { return port(); });
  key("istate_size"), p.istate_size = integer();
  key("outputs"), p.outputs = list<Port>("a list of outputs", [&] { return port(); });
  key("params"), p.params = list<Param>("a list of parameters", [&] { return param(); });
  key("regions"), p.regions = list<Region>("a list of regions", [&] { return region(); });
  key("state_size"), p.state_size = integer();
  key("window"), p.window = integer();
  if (pos_ != bytes_.size())
    fail("expected the end of the program, got " + std::to_string(bytes_.size() - pos_) + " more bytes");
  return p;
}

}  // namespace

Program read_program(std::string_view bytes) {
  Program program = Reader(bytes).program();
  validate(program);
  return program;
}

}  // namespace nengo_dl
