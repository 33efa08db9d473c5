// The windows of one group of items: place buffers, bring carried values in, run the regions, take them out.
#include "engine/worker.h"

#include <algorithm>
#include <stdexcept>

namespace nengo_dl {
Layout::Layout(const Program& program, const Sharing& sharing, const std::vector<char>& unwritten,
               const std::vector<char>& inner, const Geometry& geometry)
    : group(geometry.group), window(geometry.window) {
  place_buffers(program, sharing, unwritten, inner);
}

Layout::Layout(const Program& program, const Sharing& sharing, const std::vector<char>& unwritten,
               const TapeLayout& tape, bool has_tape)
    : group(tape.geometry.group), window(tape.geometry.window) {
  place_buffers(program, sharing, unwritten, tape.needs.rows);
  off_tape = arena;
  if (!has_tape || tape.first_kept > 0) arena += tape.largest_window();
}

void Layout::place_buffers(const Program& program, const Sharing& sharing, const std::vector<char>& unwritten,
                           const std::vector<char>& elsewhere) {
  place.assign(program.buffers.size(), -1);
  const std::vector<int64_t> sizes = sharing.sizes_of(program, elsewhere);
  std::vector<int64_t> shared(sizes.size(), -1);
  for (size_t i = 0; i < place.size(); ++i) {
    const Buffer& b = program.buffers[i];
    const int64_t rows = elsewhere[i]                    ? 0
                         : b.kind == BufferKind::carried ? window + 1
                         : b.kind == BufferKind::window  ? window
                         : b.kind == BufferKind::local   ? 1
                                                         : 0;
    if (rows == 0) continue;
    if (sharing.place[i] >= 0) {
      int64_t& at = shared[sharing.place[i]];
      if (at < 0) at = add(program, b.name, rows, sizes[sharing.place[i]]);
      place[i] = at;
      continue;
    }
    place[i] = add(program, b.name, rows, b.size);
    if (unwritten[i]) zeroed.emplace_back(place[i], arena - place[i]);
  }
}

int64_t Layout::add(const Program& program, const std::string& name, int64_t rows, int64_t per_row) {
  constexpr int64_t kAlign = 64;
  const int64_t line = kAlign / (program.float64 ? 8 : 4), at = arena;
  int64_t size;  // 2^40 elements times rows times items may be more than int64 holds
  if (__builtin_mul_overflow(rows, group, &size) || __builtin_mul_overflow(per_row, size, &size) ||
      __builtin_add_overflow(arena, size, &arena) || arena > INT64_MAX / 2 - line)
    throw std::runtime_error("the program's buffers are larger than memory can be ('" + name + "')");
  arena = (arena + line - 1) / line * line;
  return at;
}

template <class T>
Worker<T>::Worker(const Schedule<T>& schedule, const RunArgs<T>& args, const Layout& layout, const Recording* recording)
    : schedule_(schedule),
      facts_(schedule.facts),
      program_(schedule.facts.program),
      space_(schedule.space()),
      args_(args),
      layout_(layout),
      recording_(recording),
      arena_(allocate<T>(schedule.space(), layout.arena)) {
  const size_t buffers = program_.buffers.size();
  base_.resize(buffers), row_.resize(buffers), item_.resize(buffers);
  inputs_.resize(args.inputs.size()), outputs_.resize(args.outputs.size());
  input_steps_.assign(args.inputs.size(), args.n_steps);
  for (size_t i = 0; i < outputs_.size(); ++i) output_steps_.push_back(args.output_rows(i));
  if (facts_.calls_python) {
    int64_t size = 0;
    for (int64_t b : facts_.undo) size += program_.buffers[b].size;
    for (size_t i = 0; i < args.keep_last.size(); ++i) size += args.keep_last[i] ? program_.outputs[i].size : 0;
    undo_ = allocate<T>(space_, size * args.batch);
    undo_istate_ = allocate<int32_t>(space_, program_.istate_size * args.batch);
  }
  frame_ = {};
  frame_.base = base_.data(), frame_.row = row_.data(), frame_.item = item_.data();
  frame_.dt = program_.dt, frame_.tf32 = args.tf32;
  frame_.istate_item = program_.istate_size;
  frame_.inputs = inputs_.data(), frame_.outputs = outputs_.data();
  frame_.input_steps = input_steps_.data(), frame_.output_steps = output_steps_.data();
  frame_.kept_steps = args.kept_steps.empty() ? nullptr : args.kept_steps.data();
  if (program_.sites && args.callbacks) calls_ = args.callbacks->start(program_.sites);
  frame_.calls = calls_.get();
  finite_ = std::make_unique<std::atomic<signed char>[]>(buffers);
  for (size_t i = 0; i < buffers; ++i) finite_[i].store(kNobodyAsked, std::memory_order_relaxed);
  frame_.finite = finite_.get();
  reordered_ = std::make_unique<Reordered<T>[]>(buffers);
  frame_.reordered = reordered_.get();
}

template <class T>
Worker<T>::Worker(const Schedule<T>& schedule, const RunArgs<T>& args, const Layout& layout,
                  const Division<T>& division, const Worker* lead)
    : Worker(schedule, args, layout) {
  division_ = &division, lead_ = lead;
  if (lead) frame_.finite = lead->frame_.finite;
}

void lay_rows(const Program& program, int64_t items, std::vector<int64_t>* row, std::vector<int64_t>* item) {
  for (size_t i = 0; i < program.buffers.size(); ++i) {
    const Buffer& b = program.buffers[i];
    (*row)[i] = b.kind == BufferKind::carried || b.kind == BufferKind::window ? items * b.size : 0;
    (*item)[i] = b.kind == BufferKind::param ? 0 : b.kind == BufferKind::state ? program.state_size : b.size;
  }
}

template <class T>
T* Worker<T>::in_arena(int64_t buffer) const {
  const int64_t place = layout_.place[buffer];
  const bool shared = lead_ && !division_->own[buffer];
  return place < 0 ? nullptr : (shared ? lead_ : this)->arena_.get() + place;
}

template <class T>
void Worker<T>::place(int64_t group) {
  const int64_t first = group * layout_.group, batch = std::min(layout_.group, args_.batch - first);
  frame_.first_item = first, frame_.batch = batch;
  frame_.istate = args_.istate + first * program_.istate_size;
  lay_rows(program_, batch, &row_, &item_);
  for (size_t i = 0; i < program_.buffers.size(); ++i) {
    const Buffer& b = program_.buffers[i];
    switch (b.kind) {
      case BufferKind::param:
        base_[i] = args_.params[b.param];
        break;
      case BufferKind::learned:
        base_[i] = args_.params[b.param] + first * b.size;
        break;
      case BufferKind::state:
        base_[i] = args_.state + first * program_.state_size + b.state_offset;
        break;
      case BufferKind::local:
      case BufferKind::carried:
      case BufferKind::window:
        base_[i] = in_arena(i);
        break;
    }
  }
  for (size_t i = 0; i < inputs_.size(); ++i)
    inputs_[i] = args_.inputs[i] + first * input_steps_[i] * program_.inputs[i].size;
  for (const auto& [begin, count] : layout_.zeroed) space_.clear(arena_.get() + begin, count);
  if (recording_ && !recording_->write_outputs) return;
  for (size_t i = 0; i < outputs_.size(); ++i)
    outputs_[i] = args_.outputs[i] + first * output_steps_[i] * program_.outputs[i].size;
}

// Of the group's first item.
template <class T>
T* Worker<T>::state_of(int64_t buffer) const {
  return args_.state + frame_.first_item * program_.state_size + program_.buffers[buffer].state_offset;
}

template <class T>
void Worker<T>::load() {
  for (size_t i = 0; i < program_.buffers.size(); ++i) {
    const Buffer& b = program_.buffers[i];
    if (b.kind == BufferKind::carried)
      space_.copy_items(state_of(i), program_.state_size, base_[i], b.size, b.size, frame_.batch);
  }
}

template <class T>
void Worker<T>::store(int64_t row) {
  for (size_t i = 0; i < program_.buffers.size(); ++i) {
    const Buffer& b = program_.buffers[i];
    if (b.kind == BufferKind::carried)
      space_.copy_items(base_[i] + row * row_[i], b.size, state_of(i), program_.state_size, b.size, frame_.batch);
  }
}

// The last row becomes the first of the next window.
template <class T>
void Worker<T>::roll(int64_t steps) {
  for (size_t i = 0; i < program_.buffers.size(); ++i)
    if (program_.buffers[i].kind == BufferKind::carried) space_.copy(base_[i] + steps * row_[i], base_[i], row_[i]);
}

template <class T>
void Worker<T>::enter_window(int64_t offset, int64_t steps) {
  frame_.offset = offset, frame_.steps = steps;
  frame_.first_step = args_.first_step + offset;
}

template <class T>
void Worker<T>::run_window(int64_t steps) {
  for (const Stage<T>& stage : schedule_.stages) {
    if (!stage.loop) {
      for (const Kernel<T>* unit : stage.forward) unit->run(frame_, 0, steps);
      continue;
    }
    if (stage.whole) {
      stage.whole->run(frame_, 0, steps);
      continue;
    }
    for (int64_t t = 0; t < steps; ++t)
      for (const Kernel<T>* unit : stage.forward) unit->run(frame_, t, t + 1);
  }
}

// With callbacks there is one group, which is the whole batch, and one step per window: carried rows are undone by not
// rolling them, so only what changes in place has to be kept: state, and the row of outputs that keep the last step.
template <class T>
void Worker<T>::keep_or_undo(bool back) {
  T* kept = undo_.get();
  for (int64_t i : facts_.undo) copy_undo(base_[i], item_[i], program_.buffers[i].size, frame_.batch, back, &kept);
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const int64_t size = program_.outputs[i].size;
    if (args_.keep_last[i]) copy_undo(outputs_[i], size, size, frame_.batch, back, &kept);
  }
  int32_t* kept_words = undo_istate_.get();
  copy_undo(frame_.istate, program_.istate_size, program_.istate_size, frame_.batch, back, &kept_words);
}

template <class T>
template <class U>
void Worker<T>::copy_undo(U* values, int64_t distance, int64_t count, int64_t items, bool back, U** kept) {
  if (back)
    space_.copy_items(*kept, count, values, distance, count, items);
  else
    space_.copy_items(values, distance, *kept, count, count, items);
  *kept += items * count;
}

template <class T>
int64_t Worker<T>::run(int64_t group, int64_t done, int64_t steps, std::exception_ptr* error) {
  if (recording_) return record(group, done, steps, error);
  place(group);
  load();
  int64_t complete = 0;
  while (complete < steps) {
    const int64_t k = std::min(layout_.window, steps - complete);
    enter_window(done + complete, k);
    if (facts_.calls_python) {
      keep_or_undo(false);
      try {
        run_window(k);
      } catch (...) {
        *error = std::current_exception();
        keep_or_undo(true);
        break;
      }
    } else {
      run_window(k);
    }
    roll(k);
    complete += k;
  }
  store(0);
  return complete;
}

// Of shares for more workers than there are threads, a thread takes several.
template <class T>
void Worker<T>::run_share(const typename Division<T>::Stretch& stretch, int number, int size, int64_t first,
                          int64_t end) {
  if (stretch.by_steps) {
    const int64_t from = first + (end - first) * number / size, to = first + (end - first) * (number + 1) / size;
    if (from == to) return;
    for (const Kernel<T>* unit : stretch.shares[0]) unit->run(frame_, from, to);
    return;
  }
  const int64_t length = stretch.loop ? 1 : end - first;
  for (int64_t t = first; t < end; t += length)
    for (size_t share = number; share < stretch.shares.size(); share += size)
      for (const Kernel<T>* unit : stretch.shares[share]) unit->run(frame_, t, t + length);
}

template <class T>
void Worker<T>::run_divided(int number, Team& team, int64_t group, int64_t done, int64_t steps) {
  place(group);
  if (!lead_) load();
  for (int64_t complete = 0; complete < steps;) {
    const int64_t k = std::min(layout_.window, steps - complete);
    enter_window(done + complete, k);
    for (const auto& part : division_->parts) {
      const int64_t length = part.count > 1 ? 1 : k;  // several stretches of a loop take turns
      for (int64_t t = 0; t < k; t += length)
        for (size_t s = part.first; s < part.first + part.count; ++s) {
          team.barrier();
          run_share(division_->stretches[s], number, team.size(), t, t + length);
        }
    }
    team.barrier();
    if (!lead_) roll(k);
    complete += k;
  }
  if (!lead_) store(0);
}

// ---------------------------------------------------------------- recorded runs

template <class T>
void Worker<T>::start_window(int64_t group, int64_t window) {
  const TapeLayout& tape = recording_->layout;
  const bool kept = recording_->tape && window >= tape.first_kept;
  values_ =
      kept ? reinterpret_cast<T*>(recording_->tape + tape.values_at(window, group)) : arena_.get() + layout_.off_tape;
  enter_window(window * layout_.window, tape.steps(window));
  const WindowPlaces& places = tape.places(window, group);
  for (size_t i = 0; i < base_.size(); ++i) {
    const Buffer& b = program_.buffers[i];
    if (places.place[i] < 0 || in_place(b.kind)) continue;
    base_[i] = values_ + places.place[i], row_[i] = frame_.batch * b.size;
    if (facts_.unwritten[i]) space_.clear(base_[i], (frame_.steps + (b.kind == BufferKind::carried)) * row_[i]);
  }
  load();
}

template <class T>
void Worker<T>::checkpoint(int64_t window) {
  const TapeLayout& tape = recording_->layout;
  char* at = recording_->tape + tape.checkpoint_at(window);
  const Checkpoint& c = tape.checkpoint();
  const int64_t first = frame_.first_item, n = frame_.batch;
  const int64_t row = program_.state_size, words = program_.istate_size;
  space_.copy(args_.state + first * row, reinterpret_cast<T*>(at + c.state) + first * row, n * row);
  space_.copy(frame_.istate, reinterpret_cast<int32_t*>(at + c.istate) + first * words, n * words);
  for (size_t p = 0; p < c.learned.size(); ++p) {
    const int64_t size = program_.params[p].size;
    if (c.learned[p] >= 0)
      space_.copy(args_.params[p] + first * size, reinterpret_cast<T*>(at + c.learned[p]) + first * size, n * size);
  }
}

// Copies elements of buffers that change in place to row `row` of their recorded values.
template <class T>
void Worker<T>::save(const std::vector<Needs::Piece>& pieces, const WindowPlaces& places, int64_t row) {
  for (const Needs::Piece& p : pieces) {
    const int64_t size = program_.buffers[p.buffer].size;
    T* to = values_ + places.place[p.buffer] + row * frame_.batch * size + p.first;
    space_.copy_items(base_[p.buffer] + p.first, item_[p.buffer], to, size, p.count, frame_.batch);
  }
}

template <class T>
void Worker<T>::run_and_save(const WindowPlaces& places, int64_t steps) {
  const Needs& needs = recording_->layout.needs;
  for (const auto& pieces : needs.changing) save(pieces, places, 0);
  for (int64_t row = 0; row <= steps; ++row) save(needs.lasting, places, row);
  for (size_t r = 0; r < schedule_.stages.size(); ++r) {
    const Stage<T>& stage = schedule_.stages[r];
    if (stage.whole && needs.changing[r].empty() && (recording_->write_outputs || !stage.has_outputs)) {
      stage.whole->run(frame_, 0, steps);
      continue;
    }
    const int64_t pieces = stage.loop ? 1 : steps;
    for (int64_t t = 0; t < steps; t += pieces) {
      for (size_t i = 0; i < stage.ops.size(); ++i)
        if (recording_->write_outputs || facts_.flow.stages[r][i].output < 0) stage.ops[i]->run(frame_, t, t + pieces);
      save(needs.changing[r], places, t + 1);
    }
  }
}

// At every window border the state lies where `args` says, for the checkpoint.
template <class T>
int64_t Worker<T>::record(int64_t group, int64_t done, int64_t steps, std::exception_ptr* error) {
  const TapeLayout& tape = recording_->layout;
  place(group);
  int64_t complete = 0;
  while (complete < steps) {
    const int64_t window = (done + complete) / layout_.window, k = tape.steps(window);
    if (window > 0 && window < tape.first_kept) checkpoint(window);
    start_window(group, window);
    if (facts_.calls_python) {
      keep_or_undo(false);
      try {
        run_and_save(tape.places(window, group), k);
      } catch (...) {
        *error = std::current_exception();
        keep_or_undo(true);
        break;
      }
    } else {
      run_and_save(tape.places(window, group), k);
    }
    store(k);
    complete += k;
  }
  return complete;
}

template <class T>
void Worker<T>::replay(int64_t group, int64_t window) {
  place(group);
  start_window(group, window);
  run_and_save(recording_->layout.places(window, group), recording_->layout.steps(window));
}

template class Worker<float>;
template class Worker<double>;

}  // namespace nengo_dl
