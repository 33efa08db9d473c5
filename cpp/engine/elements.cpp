#include "engine/elements.h"

#include <algorithm>

#include "engine/op_util.h"
#include "engine/validate.h"

namespace nengo_dl {
namespace {

constexpr int64_t kMostBits = int64_t{1} << 30;  // 128 MiB; a buffer of so many elements has 4 GiB and more

// Lines of elements side by side that together are the elements of an operand.
struct Lines {
  View starts;         // of each line; strides are positive
  int64_t lowest = 0;  // the first element, seen from the offset of a block
  int64_t length = 1;
  int64_t count;  // at most as many as elements, which validate() has counted: 2^40

  explicit Lines(const Operand& o) : starts(o) {
    for (int64_t i = 0; i < starts.rank; ++i) {
      int64_t &n = starts.shape[i], &stride = starts.strides[i];
      if (stride == 0) n = 1;
      if (stride < 0) lowest += (n - 1) * stride, stride = -stride;  // validate() has seen to what can't be negated
      if (length == 1 && stride == 1) length = n, n = 1;
    }
    count = starts.count() * starts.blocks;
  }
};

// Of places side by side: f(word, those of its bits).
template <class F>
void each_word_of(int64_t first, int64_t last, F&& f) {
  for (int64_t w = first / 64; w <= last / 64; ++w) {
    uint64_t bits = ~uint64_t{0};
    if (w == first / 64) bits &= ~uint64_t{0} << (first % 64);
    if (w == last / 64) bits &= ~uint64_t{0} >> (63 - last % 64);
    f(w, bits);
  }
}

// Sets the bits that lie `n` places above those that are set, too.
void add_moved(std::vector<uint64_t>& bits, int64_t n) {
  const int64_t words = n / 64, rest = n % 64;
  for (int64_t w = static_cast<int64_t>(bits.size()) - 1; w >= words; --w) {
    uint64_t moved = bits[w - words] << rest;
    if (rest > 0 && w > words) moved |= bits[w - words - 1] >> (64 - rest);
    bits[w] |= moved;
  }
}

// Calls f(distance) for moves that together make one bit `n` bits that lie `stride` apart.
template <class F>
void each_move(int64_t n, int64_t stride, F&& f) {
  for (int64_t there = 1, more; there < n; there += more) more = std::min(there, n - there), f(more * stride);
}

int64_t named(const Part& part) {  // elements, those that come twice counted twice
  const auto blocks = static_cast<int64_t>(part.operand->offsets.size());
  return blocks * (part.listed ? static_cast<int64_t>(part.listed->size()) : part.operand->count());
}

}  // namespace

void Part::ends(int64_t* lowest, int64_t* highest) const {
  extent(*operand, lowest, highest);
  if (!listed || listed->empty() || operand->strides.empty()) return;
  const auto [low, high] = std::minmax_element(listed->begin(), listed->end());
  const int64_t stride = operand->strides[0];
  *lowest = std::min(*low * stride, *high * stride), *highest = std::max(*low * stride, *high * stride);
}

Elements::Elements(int64_t first, int64_t last, int64_t* steps) : first_(first), steps_(steps) {
  const int64_t words = (last - first) / 64 + 1;
  if (last - first < kMostBits && spend(words)) bits_.resize(words);
}

bool Elements::spend(int64_t steps) const {
  if (steps > *steps_) return false;
  *steps_ -= steps;
  return true;
}

// Calls f(word, bits) for words of bits_ and those of their bits that together are the elements of a part; a word may
// come several times. False if that takes too many steps.
template <class F>
bool Elements::each_word(const Part& part, F&& f) const {
  if (bits_.empty()) return false;
  if (part.listed) return each_listed(part, f);
  const std::vector<int64_t>& offsets = part.operand->offsets;
  const Lines lines(*part.operand);
  int64_t lowest, highest, moves = 1;
  extent(*part.operand, &lowest, &highest);
  const auto [low, high] = std::minmax_element(offsets.begin(), offsets.end());
  const int64_t from = (*low + lowest - first_) / 64, words = (*high + highest - first_) / 64 - from + 1;
  const auto moved = [&](auto&& move) {
    for (int64_t i = 0; i < lines.starts.rank; ++i) each_move(lines.starts.shape[i], lines.starts.strides[i], move);
    each_move(lines.length, 1, move);
  };
  moved([&](int64_t) { ++moves; });
  const int64_t one_by_one = lines.count + lines.count * lines.length / 64;
  const int64_t at_once = lines.starts.blocks + words * moves;
  if (!spend(std::min(one_by_one, at_once))) return false;
  if (one_by_one <= at_once) {
    for (int64_t offset : offsets)
      for_each_element(lines.starts, [&](int64_t e) {
        const int64_t first = offset - first_ + lines.lowest + e;
        each_word_of(first, first + lines.length - 1, f);
      });
    return true;
  }
  std::vector<uint64_t> all(words);
  for (int64_t offset : offsets) {
    const int64_t place = offset - first_ + lines.lowest;
    all[place / 64 - from] |= uint64_t{1} << (place % 64);
  }
  moved([&](int64_t distance) { add_moved(all, distance); });
  for (int64_t w = 0; w < words; ++w) f(from + w, all[w]);
  return true;
}

template <class F>
bool Elements::each_listed(const Part& part, F&& f) const {
  const int64_t stride = part.operand->strides.empty() ? 0 : part.operand->strides[0];
  std::vector<int64_t> once;
  const std::vector<int64_t>* listed = part.listed;
  if (static_cast<int64_t>(listed->size()) > part.operand->count()) {  // then some come twice
    once = *listed;
    std::sort(once.begin(), once.end());
    once.erase(std::unique(once.begin(), once.end()), once.end());
    listed = &once;
  }
  if (!spend(static_cast<int64_t>(listed->size() * part.operand->offsets.size()))) return false;
  for (int64_t offset : part.operand->offsets)
    for (int64_t i : *listed) {
      const int64_t place = offset - first_ + i * stride;
      f(place / 64, uint64_t{1} << (place % 64));
    }
  return true;
}

Elements::Found Elements::find(const Part& part) const {
  bool found = false;
  if (!each_word(part, [&](int64_t word, uint64_t bits) { found = found || (bits_[word] & bits) != 0; }))
    return Found::unknown;
  return found ? Found::some : Found::none;
}

Elements::Found Elements::add(const Part& part) {
  bool found = false;
  int64_t count = 0;
  const bool known = each_word(part, [&](int64_t word, uint64_t bits) {
    found = found || (bits_[word] & bits) != 0;
    bits_[word] |= bits;
    count += __builtin_popcountll(bits);
  });
  if (!known) return Found::unknown;
  return found || count < named(part) ? Found::some : Found::none;
}

}  // namespace nengo_dl
