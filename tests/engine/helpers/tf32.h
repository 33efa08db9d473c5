// A factor as a GPU takes it in TF32: with the nearest 10 bits behind the point.
#pragma once

#include <cstdint>
#include <cstring>

inline float tf32_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits = (bits + 0x0fff + (bits >> 13 & 1)) & ~uint32_t{0x1fff};
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}
inline double tf32_of(double value) { return value; }
