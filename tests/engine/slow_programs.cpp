// Programs that once took the engine minutes to read or to prepare, since their work grew with the square of their
// size or with the elements of their buffers. A limit of time on this test is only there to end it if they do so again.
#include <algorithm>

#include "engine/engine.h"
#include "helpers/expect.h"
#include "helpers/program_bytes.h"

namespace {

using namespace program_bytes;
using nengo_dl::Compiled;
using nengo_dl::ProgramError;

const Entries kFirst = {{"index", integer(0)}}, kSet = {{"set", integer(1)}};

// Whether what the way back needs can be found; ProgramError if there is no gradient.
bool has_gradient(const Parts& p) { return Compiled(program(p)).new_tape(1, 1, {}) != nullptr; }

std::string fill(const Slice& dst) {
  const int64_t blocks = static_cast<int64_t>(dst.offsets.size());
  return op("fill", {{"dst", dst}}, {{"value", number(1)}}, blocks);
}

// 200 million elements in irregular columns are told apart, a bit for each; of too many bits nothing is made.
void check_columns() {
  constexpr int64_t kRows = int64_t{1} << 26, kTooMany = int64_t{1} << 28;
  Parts p;
  p.buffers = {buffer("window", 5 * kTooMany)};
  p.regions = {region("sequence", {fill({0, {kRows}, {0, 1, 4}, 0, {5}})})};
  const Compiled apart(program(p));
  p.regions = {region("sequence", {fill({0, {kRows - 1}, {0, 1, 5}, 0, {5}})})};
  expect_throw<ProgramError>([&] { Compiled(program(p)); }, "more than once");
  p.regions = {region("sequence", {fill({0, {1 << 10, 1 << 11, 1 << 10}, {0, 1}, 0, {3, 7, 2}})})};
  expect_throw<ProgramError>([&] { Compiled(program(p)); }, "more than once");
  p.regions = {region("sequence", {fill({0, {kTooMany}, {0, 1, 4}, 0, {5}})})};
  expect_throw<ProgramError>([&] { Compiled(program(p)); }, "too large to be shown not to overlap");
}

// Each op reads what the next one writes, so that derivatives take as many steps as there are ops.
void check_ops_in_reverse() {
  constexpr int64_t kOps = 40000;
  Parts p;
  p.inputs = {port(1)}, p.outputs = {port(1)};
  std::vector<std::string> ops;
  for (int64_t i = 0; i <= kOps; ++i) p.buffers.push_back(buffer("window", 1));
  ops.push_back(op("output", {{"src", Slice{0, {1}}}}, kFirst));
  for (int64_t i = 0; i < kOps; ++i)
    ops.push_back(op("copy", {{"dst", Slice{i, {1}}}, {"src", Slice{i + 1, {1}}}}, kSet));
  ops.push_back(op("input", {{"dst", Slice{kOps, {1}}}}, kFirst));
  p.regions = {region("loop", ops)};
  expect(has_gradient(p), "ops in reverse have a gradient");
}

// The values of many buffers are recorded, none of which changes in most regions.
void check_buffers_times_regions() {
  constexpr int64_t kBuffers = 8000, kRegions = 100000;
  Parts p;
  p.inputs = {port(1)}, p.outputs = {port(1)};
  p.buffers = {buffer("window", 1), buffer("window", 1)};
  std::vector<std::string> ops = {op("input", {{"dst", Slice{0, {1}}}}, kFirst)};
  for (int64_t i = 0; i < kBuffers; ++i) {
    const int64_t b = static_cast<int64_t>(p.buffers.size());
    p.buffers.push_back(buffer("state", 1, -1, i));
    ops.push_back(op("copy", {{"dst", Slice{b, {1}}}, {"src", Slice{0, {1}}}}, kSet));
    ops.push_back(
        op("elementwise", {{"A", Slice{b, {1}}}, {"X", Slice{0, {1}}}, {"Y", Slice{1, {1}}}}, {{"set", integer(0)}}));
  }
  ops.push_back(op("output", {{"src", Slice{1, {1}}}}, kFirst));
  p.state_size = kBuffers;
  p.regions.assign(kRegions, region("loop", {}));
  p.regions.push_back(region("loop", ops));
  expect(has_gradient(p), "buffers in many regions have a gradient");
}

// A list of elements in many blocks: a billion elements, one by one.
void check_listed_elements() {
  constexpr int64_t kBlocks = 30000, kListed = 30000;
  Parts p;
  p.buffers = {buffer("window", kListed), buffer("window", kBlocks * kListed)};
  std::vector<int64_t> zeros(kBlocks), starts, listed;
  for (int64_t k = 0; k < kBlocks; ++k) starts.push_back(k * kListed);
  for (int64_t i = 0; i < kListed; i += 2) listed.push_back(i);
  const int64_t count = static_cast<int64_t>(listed.size());
  const Slice src{0, {count}, zeros}, dst{1, {kListed}, starts};
  const Entries attrs = {{"dst_index", integers(listed)}, {"set", integer(1)}};
  p.regions = {region("sequence", {op("copy", {{"dst", dst}, {"src", src}}, attrs, kBlocks)})};
  expect(has_gradient(p), "lists in many blocks have a gradient");
}

// A function with many inputs and states in one buffer.
void check_arguments_of_a_function() {
  constexpr int64_t kArgs = 10000;
  Parts p;
  p.buffers = {buffer("state", 2 * kArgs, -1, 0)};
  p.state_size = 2 * kArgs, p.window = 1;
  std::vector<std::pair<std::string, Slice>> args;
  for (int64_t i = 0; i < kArgs; ++i) args.push_back({"in" + std::to_string(i), Slice{0, {1}, {2 * i}}});
  for (int64_t i = 0; i < kArgs; ++i) args.push_back({"state" + std::to_string(i), Slice{0, {1}, {2 * i + 1}}});
  std::sort(args.begin(), args.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  p.regions = {region("loop", {op("callback", args, kFirst)})};
  expect(Compiled(program(p)).program().sites == 1, "a function may have many arguments");
}

}  // namespace

int main() {
  check_columns();
  check_ops_in_reverse();
  check_buffers_times_regions();
  check_listed_elements();
  check_arguments_of_a_function();
  return failures != 0;
}
