// Mutations that know the grammar of a program (docs/PROGRAM.md, "Bytes"), so that most of them still parse: a number
// is changed, an array gets shorter or longer, an item of a list is dropped or doubled.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "fuzz/fuzz.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace mutate {

struct Leaf {  // an integer, a float, an array or a list: where its tag is, and where its items begin and end
  char tag;
  size_t at;
  std::vector<size_t> items;  // borders: one more than items
};

class Parser {
 public:
  Parser(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool parse(std::vector<Leaf>* leaves) { return size_ > 8 && (pos_ = 8, value(leaves, 0)); }

 private:
  template <class T>
  bool raw(T* out) {
    if (size_ - pos_ < sizeof(T)) return false;
    std::memcpy(out, data_ + pos_, sizeof(T));
    pos_ += sizeof(T);
    return true;
  }
  bool skip(uint64_t count) {
    if (count > size_ - pos_) return false;
    pos_ += count;
    return true;
  }

  bool value(std::vector<Leaf>* leaves, int depth) {
    char tag;
    if (depth > 16 || !raw(&tag)) return false;
    Leaf leaf{tag, pos_ - 1, {}};
    if (tag == 'i' || tag == 'f') {
      leaves->push_back(leaf);
      return skip(8);
    }
    uint32_t count;
    if (!raw(&count)) return false;
    if (tag == 's') return skip(count);
    if (count > size_) return false;
    leaf.items.push_back(pos_);
    for (uint32_t i = 0; i < count; ++i) {
      if (tag == 'I' || tag == 'F') {
        if (!skip(8)) return false;
      } else if (tag == 'L') {
        if (!value(leaves, depth + 1)) return false;
      } else if (tag == 'D') {
        uint16_t length;
        if (!raw(&length) || !skip(length) || !value(leaves, depth + 1)) return false;
      } else {
        return false;
      }
      leaf.items.push_back(pos_);
    }
    leaves->push_back(leaf);
    return true;
  }

  const uint8_t* data_;
  size_t size_, pos_ = 0;
};

using Random = std::minstd_rand;

inline int64_t number(Random& random, int64_t old) {
  static constexpr int64_t special[] = {0,       1,         -1,        2,         INT64_MAX, INT64_MIN, INT64_MAX / 2,
                                        1 << 20, 1LL << 40, 1LL << 62, INT32_MAX, INT32_MIN, UINT32_MAX};
  switch (random() % 6) {
    case 0:
      return old + 1;
    case 1:
      return old - 1;
    case 2:
      return -old;
    case 3:
      return special[random() % (sizeof special / sizeof *special)];
    case 4:
      return old * 2;
    default:
      return static_cast<int64_t>(random() % 12);
  }
}

inline double real(Random& random, double old) {
  static const double special[] = {0, -0.0, 1, -1, 1e-300, 1e300, INFINITY, -INFINITY, NAN, 0.001};
  return random() % 3 ? special[random() % 10] : old * (1 + random() % 4) - 1;
}

inline void change(uint8_t* at, char tag, Random& random) {
  if (tag == 'i' || tag == 'I') {
    int64_t v;
    std::memcpy(&v, at, 8);
    v = number(random, static_cast<int32_t>(v));
    std::memcpy(at, &v, 8);
  } else {
    double v;
    std::memcpy(&v, at, 8);
    v = real(random, v);
    std::memcpy(at, &v, 8);
  }
}

// Doubles or drops item `i`; returns the new size, 0 if it does not fit.
inline size_t resize(uint8_t* data, size_t size, size_t max_size, const Leaf& leaf, size_t i, bool twice) {
  const size_t from = leaf.items[i], to = leaf.items[i + 1], length = to - from;
  if (twice && size + length > max_size) return 0;
  if (twice)
    std::memmove(data + to + length, data + to, size - to), std::memcpy(data + to, data + from, length);
  else
    std::memmove(data + from, data + to, size - to);
  const uint32_t count = static_cast<uint32_t>(leaf.items.size() - 1) + (twice ? 1 : -1);
  std::memcpy(data + leaf.at + 1, &count, 4);
  return twice ? size + length : size - length;
}

inline size_t mutate(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  Random random(seed);
  std::vector<Leaf> leaves;
  const uint32_t choice = random() % 8;
  if (size < kTrailer + 8 || choice == 0) return LLVMFuzzerMutate(data, size, max_size);
  if (choice == 1) {
    LLVMFuzzerMutate(data + size - kTrailer, kTrailer, kTrailer);  // only the data of the run
    return size;
  }
  if (!Parser(data, size - kTrailer).parse(&leaves) || leaves.empty()) return LLVMFuzzerMutate(data, size, max_size);
  const Leaf& leaf = leaves[random() % leaves.size()];
  if (leaf.items.empty()) {
    change(data + leaf.at + 1, leaf.tag, random);
    return size;
  }
  if (leaf.items.size() == 1) return LLVMFuzzerMutate(data, size, max_size);
  const size_t i = random() % (leaf.items.size() - 1);
  const bool numbers = leaf.tag == 'I' || leaf.tag == 'F';
  if (numbers && random() % 3) {
    change(data + leaf.items[i], leaf.tag, random);
    return size;
  }
  const size_t changed = resize(data, size, max_size, leaf, i, random() % 2);
  return changed ? changed : LLVMFuzzerMutate(data, size, max_size);
}

}  // namespace mutate
