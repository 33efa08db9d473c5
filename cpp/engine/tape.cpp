#include "engine/tape.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "engine/hash.h"

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

}  // namespace

TapeLayout::TapeLayout(const Facts& facts, const Activity& activity, int64_t batch, int64_t n_steps, int64_t memory,
                       const Tiling& tiling)
    : needs(facts.program, facts.flow, activity), element_(facts.program.float64 ? 8 : 4) {
  const Program& program = facts.program;
  geometry = tiling.of_recorded_run({batch, n_steps, program.window, item_bytes(program, activity), facts.calls_python,
                                     facts.matrix * element_, facts.weight_uses});
  groups = (batch + geometry.group - 1) / geometry.group;
  windows = n_steps / geometry.window + (n_steps % geometry.window != 0);
  last_steps_ = n_steps - (windows - 1) * geometry.window;
  last_items_ = batch - (groups - 1) * geometry.group;
  place_values(program);
  place_checkpoint(program, facts.flow, batch);
  place_windows(facts.calls_python ? -1 : memory);
  Hash hash;
  hash.add(facts.fingerprint);
  for (int64_t v : {batch, n_steps, bytes, first_kept, geometry.group, geometry.window})
    hash.add(static_cast<uint64_t>(v));
  for (char rows : needs.rows) hash.add(static_cast<uint64_t>(rows));
  number_ = std::max<uint64_t>(1, hash.value());
}

// What a step of an item takes within a window: values and adjoints.
int64_t TapeLayout::item_bytes(const Program& program, const Activity& activity) const {
  int64_t elements = 0;
  for (size_t i = 0; i < program.buffers.size(); ++i) {
    const Buffer& b = program.buffers[i];
    const bool moves = b.kind == BufferKind::carried || b.kind == BufferKind::window;
    if (needs.rows[i] || moves) elements = plus(elements, b.size);
    if (activity.active[i] && !in_place(b.kind) && b.kind != BufferKind::param) elements = plus(elements, b.size);
  }
  return times(elements, element_);
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
    const bool changes = !flow.changed_in_sequence[i].empty() || !flow.changed_in_loops[i].empty();
    if (changes) checkpoint_.learned[b.param] = put(b.size, element_);
  }
  checkpoint_bytes_ = at;
}

int64_t TapeLayout::window_bytes(bool last) const {
  const WindowPlaces(&of)[2] = places_[last];
  return times(plus(times(groups - 1, of[0].size), of[1].size), element_);
}

void TapeLayout::place_windows(int64_t memory) {
  first_kept = 0;
  if (windows > 0 && memory >= 0) {  // the last windows, as many as fit
    const int64_t last = window_bytes(true), full = window_bytes(false);
    if (memory < last)
      first_kept = windows;
    else
      first_kept = windows - 1 - (full ? std::min(windows - 1, (memory - last) / full) : windows - 1);
  }
  values_ = times(std::max<int64_t>(0, first_kept - 1), checkpoint_bytes_);
  bytes = values_;
  const int64_t kept = windows - first_kept;
  if (kept > 0) bytes = plus(bytes, plus(times(kept - 1, window_bytes(false)), window_bytes(true)));
}

int64_t TapeLayout::values_at(int64_t w, int64_t g) const {
  const int64_t in_window = g * places_[w + 1 == windows][0].size * element_;
  return values_ + (w - first_kept) * window_bytes(false) + in_window;
}

void TapeLayout::check_memory(const Tape& tape) const {
  if (tape.bytes != bytes)
    throw std::invalid_argument("the tape: expected " + std::to_string(bytes) + " bytes, as this run needs, got " +
                                std::to_string(tape.bytes));
  if (reinterpret_cast<uintptr_t>(tape.memory) % kTapeStartAlign != 0)
    throw std::invalid_argument(
        "the tape: expected memory aligned to " + std::to_string(kTapeStartAlign) + " bytes, got it " +
        std::to_string(reinterpret_cast<uintptr_t>(tape.memory) % kTapeStartAlign) + " bytes behind that");
}

void TapeLayout::check(const Tape& tape, int64_t first_step, int64_t n_steps) const {
  check_memory(tape);
  if (tape.header.layout != number_ || tape.header.first_step != first_step)
    throw std::invalid_argument("the tape was not recorded by a run of this program with these sizes and options");
  if (tape.header.steps != n_steps)
    throw std::invalid_argument("the tape: expected " + std::to_string(n_steps) + " steps, got " +
                                std::to_string(tape.header.steps) + ": its run did not finish");
}

}  // namespace nengo_dl
