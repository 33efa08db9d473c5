#include "engine/tape.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace nengo_dl {
namespace {

[[noreturn]] void too_large() { throw std::runtime_error("the tape of this run is larger than memory can be"); }

int64_t times(int64_t a, int64_t b) {
  int64_t c;
  if (__builtin_mul_overflow(a, b, &c)) too_large();
  return c;
}
int64_t plus(int64_t a, int64_t b) {
  int64_t c;
  if (__builtin_add_overflow(a, b, &c) || c > INT64_MAX - kTapeAlign) too_large();
  return c;
}
int64_t aligned(int64_t bytes) { return (bytes + kTapeAlign - 1) / kTapeAlign * kTapeAlign; }

class Hash {  // FNV-1a
 public:
  void add(uint64_t v) {
    for (int i = 0; i < 8; ++i) hash_ = (hash_ ^ ((v >> (8 * i)) & 255)) * 0x100000001b3;
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace

TapeLayout::TapeLayout(const Program& program, const Flow& flow, const Activity& activity, int64_t batch,
                       int64_t n_steps, int64_t memory, bool has_callbacks, uint64_t fingerprint)
    : needs(program, flow, activity), element_(program.float64 ? 8 : 4) {
  choose_geometry(program, activity, batch, n_steps, has_callbacks);
  place_values(program);
  place_checkpoint(program, flow, batch);
  place_windows(has_callbacks ? -1 : memory);
  Hash hash;
  hash.add(fingerprint);
  for (int64_t v : {batch, n_steps, bytes, first_kept, geometry.group, geometry.window})
    hash.add(static_cast<uint64_t>(v));
  for (char rows : needs.rows) hash.add(rows);
  number_ = std::max<uint64_t>(1, hash.value());
}

// Weight gradients are products over all steps and items of a window, so a window has more of them than one that is
// only run; it is shorter where its values would not fit into the memory that one thread may reasonably take.
void TapeLayout::choose_geometry(const Program& program, const Activity& activity, int64_t batch, int64_t n_steps,
                                 bool whole) {
  constexpr int64_t kItems = 16, kSteps = 256, kCache = 512 * 1024, kLarge = 64 << 20, kRows = 256;
  Geometry& g = geometry;
  g.accumulators = whole ? 1 : std::clamp<int64_t>(batch / 8, 1, 8);
  g.group = whole ? batch : std::min(kItems, (batch + g.accumulators - 1) / g.accumulators);
  g.groups = (batch + g.group - 1) / g.group;
  g.accumulators = std::min(g.accumulators, g.groups);
  int64_t per_row = 0;
  for (size_t i = 0; i < program.buffers.size(); ++i) {
    const Buffer& b = program.buffers[i];
    const bool moves = b.kind == BufferKind::carried || b.kind == BufferKind::window;
    if (needs.rows[i] || moves) per_row = plus(per_row, b.size);
    if (activity.active[i] && !in_place(b.kind) && b.kind != BufferKind::param) per_row = plus(per_row, b.size);
  }
  const int64_t row_bytes = std::max<int64_t>(1, times(times(per_row, g.group), element_));
  const int64_t due = std::clamp<int64_t>(kRows / g.group, 1, kSteps);  // rows of a product that pay
  g.window = std::clamp<int64_t>(std::max(kCache / row_bytes, std::min(due, kLarge / row_bytes)), 1, kSteps);
  if (program.window) g.window = std::min(program.window, kSteps);
  g.window = std::max<int64_t>(1, std::min(g.window, n_steps));
  g.windows = n_steps / g.window + (n_steps % g.window != 0);
  last_steps_ = n_steps - (g.windows - 1) * g.window;
  last_items_ = batch - (g.groups - 1) * g.group;
}

void TapeLayout::place_values(const Program& program) {
  const int64_t line = kTapeAlign / element_;
  for (int last_window = 0; last_window < 2; ++last_window)
    for (int last_group = 0; last_group < 2; ++last_group) {
      WindowPlaces& places = places_[last_window][last_group];
      const int64_t steps = last_window ? last_steps_ : geometry.window;
      const int64_t items = last_group ? last_items_ : geometry.group;
      for (size_t i = 0; i < program.buffers.size(); ++i) {
        const Buffer& b = program.buffers[i];
        places.place.push_back(needs.rows[i] ? places.size : -1);
        if (!needs.rows[i]) continue;
        const bool one_more = b.kind == BufferKind::carried || in_place(b.kind);
        places.size = plus(places.size, times(times(steps + one_more, items), b.size));
        places.size = (places.size + line - 1) / line * line;
      }
    }
}

void TapeLayout::place_checkpoint(const Program& program, const Flow& flow, int64_t batch) {
  int64_t at = 0;
  auto put = [&](int64_t per_item, int64_t size) {
    const int64_t here = at;
    at = aligned(plus(at, times(times(per_item, batch), size)));
    return here;
  };
  checkpoint_.state = put(program.state_size, element_);
  checkpoint_.istate = put(program.istate_size, sizeof(int32_t));
  checkpoint_.learned.assign(program.params.size(), -1);
  for (size_t i = 0; i < program.buffers.size(); ++i) {
    const Buffer& b = program.buffers[i];
    if (b.kind != BufferKind::learned) continue;
    bool changes = !flow.changed_in_sequence[i].empty();
    for (const auto& stage : flow.changed_in_loop) changes = changes || stage.count(i);
    if (changes) checkpoint_.learned[b.param] = put(b.size, element_);
  }
  checkpoint_bytes_ = at;
}

int64_t TapeLayout::window_bytes(bool last) const {
  const WindowPlaces(&of)[2] = places_[last];
  return times(plus(times(geometry.groups - 1, of[0].size), of[1].size), element_);
}

void TapeLayout::place_windows(int64_t memory) {
  const Geometry& g = geometry;
  first_kept = 0;
  if (g.windows > 0 && memory >= 0) {  // the last windows, as many as fit
    const int64_t last = window_bytes(true), full = window_bytes(false);
    if (memory < last)
      first_kept = g.windows;
    else
      first_kept = g.windows - 1 - (full ? std::min(g.windows - 1, (memory - last) / full) : g.windows - 1);
  }
  values_ = times(std::max<int64_t>(0, first_kept - 1), checkpoint_bytes_);
  bytes = values_;
  const int64_t kept = g.windows - first_kept;
  if (kept > 0) bytes = plus(bytes, plus(times(kept - 1, window_bytes(false)), window_bytes(true)));
}

int64_t TapeLayout::values_at(int64_t w, int64_t g) const {
  const int64_t in_window = g * places_[w + 1 == geometry.windows][0].size * element_;
  return values_ + (w - first_kept) * window_bytes(false) + in_window;
}

void TapeLayout::check_memory(const Tape& tape) const {
  if (tape.bytes != bytes)
    throw std::invalid_argument("the tape: expected " + std::to_string(bytes) + " bytes, as this run needs, got " +
                                std::to_string(tape.bytes));
  if (reinterpret_cast<uintptr_t>(tape.memory) % kTapeStartAlign != 0)
    throw std::invalid_argument("the tape: expected memory aligned to " + std::to_string(kTapeStartAlign) + " bytes");
}

void TapeLayout::check(const Tape& tape, int64_t first_step, int64_t n_steps) const {
  check_memory(tape);
  if (tape.header.layout != number_ || tape.header.first_step != first_step)
    throw std::invalid_argument("the tape was not recorded by a run of this program with these sizes and options");
  if (tape.header.steps != n_steps)
    throw std::invalid_argument("the tape ends after " + std::to_string(tape.header.steps) + " steps, expected " +
                                std::to_string(n_steps) + ": its run did not finish");
}

}  // namespace nengo_dl
