#pragma once

#include <cstddef>
#include <cstdint>

constexpr size_t kTrailer = 16;  // bytes behind the program: the data of the run
