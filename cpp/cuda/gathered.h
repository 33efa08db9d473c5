// Small copies and clearings, one after the other, are gathered and then done by one kernel: each by itself would take
// the driver and the GPU as long as all of them together.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/device.h"

namespace nengo_dl {
namespace cuda {

// Rows of words: from one place of the device to another, or, from nowhere, zeros.
struct Strips {
  const uint32_t* from;
  uint32_t* to;
  int64_t from_distance, to_distance;  // words from row to row
  uint32_t words, rows;
  int32_t uploaded;  // from the host: where in the words that are sent along; -1: no
};

constexpr int kMostStrips = 24;
struct StripsOfAKernel {
  Strips all[kMostStrips];
};

class Gathered {
 public:
  // Rows of `bytes`, at distances of bytes from each other; `from` null: zeros. False: that is none of its kind.
  bool add(const void* from, int64_t from_distance, void* to, int64_t to_distance, int64_t bytes, int64_t rows,
           cudaStream_t on);
  // From the host, whose memory may change as soon as this returns.
  bool add_upload(const void* host, void* to, int64_t bytes, cudaStream_t on);
  // Does all that was gathered, before what is started next.
  void start(cudaStream_t on);

 private:
  static constexpr int64_t kLargest = 256 << 10, kLargestUpload = 8 << 10, kMostUploaded = 64 << 10;  // bytes

  void add(const Strips& strips, cudaStream_t on);
  bool meets(const Strips& strips) const;  // what is gathered, in any order but this one
  void send_along(cudaStream_t on);

  std::vector<Strips> gathered_;
  std::vector<uint32_t> uploads_;
  uint32_t* sent_ = nullptr;  // where they come to lie; never released
};

}  // namespace cuda
}  // namespace nengo_dl
