#include "cuda/gathered.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace nengo_dl {
namespace cuda {
namespace {

constexpr int64_t kWord = 4, kThreadsOfAll = 256, kMostBlocks = 64;

// Blocks y share out strips y.
__global__ void __launch_bounds__(kThreadsOfAll) move_all(const StripsOfAKernel work) {
  const Strips& s = work.all[blockIdx.y];
  const uint32_t count = s.words * s.rows, all = gridDim.x * blockDim.x;
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += all) {
    const uint32_t row = i / s.words, word = i - row * s.words;
    s.to[row * s.to_distance + word] = s.from ? s.from[row * s.from_distance + word] : 0;
  }
}

bool in_words(int64_t bytes) { return bytes % kWord == 0; }
bool in_words(const void* place) { return in_words(static_cast<int64_t>(reinterpret_cast<uintptr_t>(place))); }

// Where rows lie, counted in words.
struct Place {
  int64_t first, words, rows, distance;
  int64_t end() const { return first + (rows - 1) * distance + words; }
};
Place place(const uint32_t* at, int64_t distance, const Strips& s) {
  return {static_cast<int64_t>(reinterpret_cast<uintptr_t>(at) / kWord), s.words, at ? s.rows : 0, distance};
}
Place written(const Strips& s) { return place(s.to, s.to_distance, s); }
Place read(const Strips& s) { return place(s.from, s.from_distance, s); }

// Rows at the same distance may lie between each other, as the items of signals do; of others it isn't known.
bool meet(const Place& a, const Place& b) {
  if (a.rows == 0 || b.rows == 0 || a.first >= b.end() || b.first >= a.end()) return false;
  if (a.rows == 1 || b.rows == 1 || a.distance != b.distance || a.distance == 0) return true;
  const int64_t apart = ((b.first - a.first) % a.distance + a.distance) % a.distance;  // from a row of a's to b's next
  return apart < a.words || apart + b.words > a.distance;
}

}  // namespace

bool Gathered::add(const void* from, int64_t from_distance, void* to, int64_t to_distance, int64_t bytes, int64_t rows,
                   cudaStream_t on) {
  if (rows == 1) from_distance = to_distance = bytes;
  const bool words =
      in_words(from) && in_words(to) && in_words(bytes) && in_words(from_distance) && in_words(to_distance);
  if (!words || bytes <= 0 || rows <= 0 || from_distance < 0 || to_distance < 0 || bytes > kLargest / rows)
    return false;
  add({static_cast<const uint32_t*>(from), static_cast<uint32_t*>(to), from_distance / kWord, to_distance / kWord,
       static_cast<uint32_t>(bytes / kWord), static_cast<uint32_t>(rows), -1},
      on);
  return true;
}

bool Gathered::add_upload(const void* host, void* to, int64_t bytes, cudaStream_t on) {
  if (!in_words(to) || !in_words(bytes) || bytes <= 0 || bytes > kLargestUpload) return false;
  if (!sent_) sent_ = static_cast<uint32_t*>(device_space().allocate(kMostUploaded));
  if (static_cast<int64_t>(uploads_.size()) * kWord + bytes > kMostUploaded) start(on);
  const auto words = static_cast<uint32_t>(bytes / kWord);
  Strips strips{nullptr, static_cast<uint32_t*>(to), words, words, words, 1, 0};
  add(strips, on);
  gathered_.back().uploaded = static_cast<int32_t>(uploads_.size());
  uploads_.resize(uploads_.size() + words);
  std::memcpy(uploads_.data() + gathered_.back().uploaded, host, static_cast<size_t>(bytes));
  return true;
}

void Gathered::add(const Strips& strips, cudaStream_t on) {
  if (gathered_.size() == kMostStrips || meets(strips)) start(on);
  gathered_.push_back(strips);
}

bool Gathered::meets(const Strips& strips) const {
  return std::any_of(gathered_.begin(), gathered_.end(), [&](const Strips& s) {
    return meet(written(s), written(strips)) || meet(written(s), read(strips)) || meet(read(s), written(strips));
  });
}

void Gathered::send_along(cudaStream_t on) {
  const bool alone = gathered_.size() == 1;  // then it goes where it belongs
  check(cudaMemcpyAsync(alone ? gathered_[0].to : sent_, uploads_.data(), uploads_.size() * kWord,
                        cudaMemcpyHostToDevice, on),
        "a copy to the GPU failed");
  for (Strips& s : gathered_)
    if (s.uploaded >= 0) s.from = sent_ + s.uploaded;
  if (alone) gathered_.clear();
}

void Gathered::start(cudaStream_t on) {
  if (gathered_.empty()) return;
  if (!uploads_.empty()) send_along(on);
  const std::vector<Strips> all = std::exchange(gathered_, {});
  uploads_.clear();
  if (all.empty()) return;
  StripsOfAKernel work{};
  int64_t most = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    work.all[i] = all[i];
    most = std::max(most, int64_t{all[i].words} * all[i].rows);
  }
  const int64_t blocks = std::min(kMostBlocks, (most + kThreadsOfAll - 1) / kThreadsOfAll);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(all.size()));
  check(start_on(on, move_all, {grid, kThreadsOfAll}, work), "a kernel can't be started");
}

}  // namespace cuda
}  // namespace nengo_dl
