#include "engine/kept_params.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "engine/pool.h"
#include "engine/run.h"
#include "engine/turned.h"

namespace nengo_dl {
namespace {

// Several threads read faster than one from memory that no cache holds.
bool equal(const void* a, const void* b, int64_t bytes, int threads) {
  constexpr int64_t kPiece = 1 << 20, kOfThread = 4;  // bytes; pieces that are worth a thread
  std::atomic<bool> same{true};
  const auto compare = [&](int64_t first, int64_t last) {
    const auto count = static_cast<size_t>(last - first);
    if (same && std::memcmp(static_cast<const char*>(a) + first, static_cast<const char*>(b) + first, count) != 0)
      same = false;
  };
  share_pieces(static_cast<int>(std::min<int64_t>(threads, bytes / kPiece / kOfThread + 1)), bytes, kPiece, compare);
  return same;
}

}  // namespace

template <class T>
SentParams KeptParams<T>::send(const RunArgs<T>& args, const std::function<bool(size_t)>& trained) const {
  if (space_.on_host() || args.there) return {};
  SentParams sent(program_.params.size());
  const std::lock_guard<std::mutex> hold(lock_);
  for (size_t i = 0; i < sent.size(); ++i) {
    const Param& param = program_.params[i];
    if (!param.learned) sent[i] = send(param, args.params[i], &slots_[i], trained(i), most_threads(args));
  }
  return sent;
}

template <class T>
std::shared_ptr<void> KeptParams<T>::send(const Param& param, const T* host, Slot* slot, bool trained,
                                          int threads) const {
  const int64_t bytes = param.size * static_cast<int64_t>(sizeof(T));
  if (slot->there && equal(slot->values.get(), host, bytes, threads)) return slot->there;
  slot->there.reset();  // first, so that what is sent can have its memory
  if (trained) return send(param, host);
  if (!slot->values) slot->values = allocate<T>(host_space(), param.size);
  host_space().copy(host, slot->values.get(), param.size);
  slot->there = send(param, slot->values.get());  // should somebody write to `host` now, both are of one time
  return slot->there;
}

template <class T>
std::shared_ptr<void> KeptParams<T>::send(const Param& param, const T* host) const {
  Memory<T> there = allocate<T>(space_, param.size);
  if (param.size > 0) space_.copy_in(host, there.get(), param.size * static_cast<int64_t>(sizeof(T)));
  if (param.turns()) {
    Memory<T> turned = allocate<T>(space_, param.size);
    turn(space_, param, there.get(), turned.get(), true);
    there = std::move(turned);
  }
  const Release release = there.get_deleter();
  return {there.release(), release};
}

template class KeptParams<float>;
template class KeptParams<double>;

}  // namespace nengo_dl
