// How many bytes of inputs or outputs go to a device at a time.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace nengo_dl {
inline int64_t piece_of_tests() {
  const char* const bytes = std::getenv("NENGO_DL_TEST_PIECE");
  return bytes ? std::atoll(bytes) : 1024;  // so that short runs have several pieces
}
}  // namespace nengo_dl
