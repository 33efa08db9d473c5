// FNV-1a.
#pragma once

#include <cstdint>
#include <string_view>

namespace nengo_dl {

class Hash {
 public:
  Hash& add(std::string_view bytes) {
    for (char c : bytes) mix(static_cast<unsigned char>(c));
    return *this;
  }
  Hash& add(uint64_t number) {
    for (int i = 0; i < 8; ++i) mix((number >> (8 * i)) & 255);
    return *this;
  }
  uint64_t value() const { return hash_; }

 private:
  void mix(uint64_t byte) { hash_ = (hash_ ^ byte) * 0x100000001b3; }
  uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace nengo_dl
