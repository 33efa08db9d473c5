// Copies, clearings and results in the memory of a GPU in a random order, held against the same on the host; and
// memory that a neighbour lends.
#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "cuda/cublas.h"
#include "cuda/device.h"

using nengo_dl::Space;

namespace {

constexpr int64_t kBytes = 1 << 16;

struct Check {
  Space& space;
  std::mt19937 random;
  nengo_dl::Memory<char> there = nengo_dl::allocate<char>(space, kBytes);
  std::vector<char> here = std::vector<char>(kBytes);

  int64_t below(int64_t n) { return static_cast<int64_t>(random() % n); }
  // A place for `bytes`, mostly in words.
  int64_t place(int64_t bytes) {
    const int64_t at = below(kBytes - bytes);
    return below(10) ? at / 4 * 4 : at;
  }
  int64_t size() { return below(10) ? 4 * (1 + below(below(4) ? 30 : 3000)) : 1 + below(99); }

  void copy_rows() {
    const int64_t rows = 1 + below(4), bytes = size() / rows / 4 * 4 + 4, gap = 4 * below(5);
    const int64_t all = rows * (bytes + gap), from = below(kBytes / 2 - all) / 4 * 4;
    const int64_t to = kBytes / 2 + below(kBytes / 2 - all) / 4 * 4, back = below(2);  // apart, either way
    const int64_t source = back ? to : from, target = back ? from : to;
    space.copy_rows(there.get() + source, bytes + gap, there.get() + target, bytes, bytes, rows);
    for (int64_t r = 0; r < rows; ++r)
      std::memcpy(here.data() + target + r * bytes, here.data() + source + r * (bytes + gap), bytes);
  }
  void zero() {
    const int64_t bytes = size(), at = place(bytes);
    space.zero(there.get() + at, bytes);
    std::memset(here.data() + at, 0, bytes);
  }
  void copy_in() {
    const int64_t bytes = size(), at = place(bytes);
    std::vector<char> values(bytes);
    for (char& v : values) v = static_cast<char>(random());
    space.copy_in(values.data(), there.get() + at, bytes);
    std::memcpy(here.data() + at, values.data(), bytes);
    std::memset(values.data(), 0x55, bytes);  // it may change at once
  }
  // Rows of the host that come in, and go out, beside what was started: nothing is.
  bool bring_rows() {
    const int64_t rows = 1 + below(below(2) ? 4 : 40), bytes = 1 + below(below(2) ? 60 : kBytes / 2 / rows - 60);
    const int64_t here_apart = bytes + below(50), there_apart = bytes + below(50);
    const int64_t at = below(kBytes - rows * there_apart);
    std::vector<char> values(rows * here_apart), got(rows * here_apart);
    for (char& v : values) v = static_cast<char>(random());
    space.wait();
    space.bring_in(values.data(), here_apart, there.get() + at, there_apart, bytes, rows);
    for (int64_t r = 0; r < rows; ++r)
      std::memcpy(here.data() + at + r * there_apart, values.data() + r * here_apart, bytes);
    const std::vector<char> due = values;
    std::memset(values.data(), 0x55, values.size());  // it may change at once
    space.wait();
    space.bring_out(there.get() + at, there_apart, got.data(), here_apart, bytes, rows);
    bool same = true;
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t row = r * here_apart, end = row + here_apart;
      same = same && std::memcmp(got.data() + row, due.data() + row, bytes) == 0 &&
             std::all_of(got.begin() + row + bytes, got.begin() + end, [](char c) { return c == 0; });
    }
    return same;
  }
  // c += a b, or c = a b, for three numbers; those that aren't finite would hide all else.
  void product() {
    const double two[] = {1.5, static_cast<double>(below(9))};
    const int64_t a = 8 * below(kBytes / 8 - 3), b = a + 8, c = a + 16, add = below(2);
    space.copy_in(two, there.get() + a, sizeof two), std::memcpy(here.data() + a, two, sizeof two);
    if (below(2)) space.zero(there.get() + c, 8), std::memset(here.data() + c, 0, 8);
    const auto number = [](char* at) { return reinterpret_cast<double*>(at); };
    nengo_dl::cuda::Gemm<double> g{1, 1, 1, number(there.get() + a), number(there.get() + b), number(there.get() + c)};
    g.a_row = g.b_row = g.c_row = 1, g.add = add != 0;
    nengo_dl::cuda::gemm(g);
    double result;
    std::memcpy(&result, here.data() + c, 8);
    result = (add ? result : 0) + two[0] * two[1];
    std::memcpy(here.data() + c, &result, 8);
  }
  bool copy_out() {
    std::vector<std::vector<char>> got;
    std::vector<Space::Outgoing> all;
    std::vector<int64_t> places;
    for (int64_t i = below(5); i >= 0; --i) {
      const int64_t bytes = size();
      places.push_back(place(bytes)), got.emplace_back(bytes);
    }
    for (size_t i = 0; i < got.size(); ++i)
      all.push_back({there.get() + places[i], got[i].data(), static_cast<int64_t>(got[i].size())});
    space.copy_all_out(all);
    bool same = true;
    for (size_t i = 0; i < got.size(); ++i)
      same = same && std::memcmp(got[i].data(), here.data() + places[i], got[i].size()) == 0;
    return same;
  }
};

#ifdef __CUDACC__
struct Lender final : nengo_dl::Neighbour {
  cudaStream_t queue = nullptr;
  int64_t lent = 0;
  void* stream() const override { return queue; }
  void* allocate(int64_t bytes) override {
    void* memory = nullptr;
    return cudaMalloc(&memory, static_cast<size_t>(bytes)) == cudaSuccess ? ++lent, memory : nullptr;
  }
  void release(void* memory) override { lent -= cudaFree(memory) == cudaSuccess; }
};
#endif

}  // namespace

#ifdef __CUDACC__
// How much is lent while a neighbour is followed, after it has been led and its memory is still used, and when that
// is used no more: 1, 1, 0.
extern "C" void lend(int64_t* lent) {
  static auto* const lender = new Lender;
  nengo_dl::cuda::check(cudaStreamCreateWithFlags(&lender->queue, cudaStreamNonBlocking), "no stream");
  Space& space = nengo_dl::cuda::device_space();
  constexpr int64_t kMuch = 77 << 20;  // that nobody has used before
  space.follow(*lender);
  nengo_dl::Memory<char> memory = nengo_dl::allocate<char>(space, kMuch);
  space.zero(memory.get(), kMuch);
  lent[0] = lender->lent;
  space.lead(*lender);
  lent[1] = lender->lent;
  memory.reset();
  lent[2] = lender->lent;
}
#endif

// Calls until something differs; all of them: nothing did.
extern "C" int64_t space_calls(uint32_t seed, int64_t calls) {
  Check check{nengo_dl::cuda::device_space(), std::mt19937(seed)};
  check.space.copy_in(check.here.data(), check.there.get(), kBytes);
  for (int64_t i = 0; i < calls; ++i) {
    const int64_t kind = check.below(14);
    if (kind == 13 && !check.bring_rows()) return i;
    if (kind == 12) check.product();
    if (kind < 5) check.copy_rows();
    if (kind >= 5 && kind < 8) check.zero();
    if (kind >= 8 && kind < 11) check.copy_in();
    if (kind == 11 && !check.copy_out()) return i;
  }
  return check.copy_out() ? calls : -1;
}
