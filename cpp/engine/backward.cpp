// The windows of one group of items in reverse: bring values and adjoints to their places, go back through the regions.
#include "engine/backward.h"

namespace nengo_dl {

template <class T>
Backward<T>::Backward(const Schedule<T>& schedule, const BackPlan<T>& back, const GradArgs<T>& args, const char* tape,
                      const TapeLayout& layout, const RunArgs<T>& scratch, const Layout* memory)
    : program_(schedule.facts.program),
      space_(schedule.space()),
      back_(back),
      args_(args),
      tape_(tape),
      layout_(layout),
      scratch_(scratch),
      recording_{layout, nullptr, false},
      arena_(allocate<T>(schedule.space(), back.size)) {
  if (memory) replay_ = std::make_unique<Worker<T>>(schedule, scratch, *memory, &recording_);
  const size_t buffers = program_.buffers.size();
  value_.resize(buffers), adjoint_.resize(buffers);
  value_row_.resize(buffers), value_item_.resize(buffers), row_.resize(buffers), item_.resize(buffers);
  inputs_.resize(program_.inputs.size()), input_grads_.resize(program_.inputs.size());
  output_grads_.resize(program_.outputs.size());
  input_steps_.assign(program_.inputs.size(), args.run.n_steps);
  for (size_t i = 0; i < output_grads_.size(); ++i) output_steps_.push_back(args.run.output_rows(i));
  Frame<T>& v = frame_.value;
  v = {};
  v.dt = program_.dt, v.tf32 = args.run.tf32;
  v.inputs = inputs_.data(), v.outputs = nullptr;
  v.input_steps = input_steps_.data(), v.output_steps = output_steps_.data();
  v.istate_item = program_.istate_size;
  frame_.adjoint = v;
  v.base = value_.data(), v.row = value_row_.data(), v.item = value_item_.data();
  frame_.adjoint.base = adjoint_.data(), frame_.adjoint.row = row_.data(), frame_.adjoint.item = item_.data();
  frame_.n_steps = args.run.n_steps;
  frame_.input_grads = input_grads_.data(), frame_.output_grads = output_grads_.data();
  frame_.unset = back.unset.data();
}

template <class T>
void Backward<T>::place_group(int64_t group, const std::vector<T*>& params) {
  group_ = group;
  const int64_t first = group * layout_.geometry.group, batch = layout_.items(group), steps = args_.run.n_steps;
  frame_.value.first_item = frame_.adjoint.first_item = first;
  frame_.value.batch = frame_.adjoint.batch = batch;
  for (size_t i = 0; i < program_.buffers.size(); ++i) {
    const Buffer& b = program_.buffers[i];
    const bool state = b.kind == BufferKind::state, learned = b.kind == BufferKind::learned;
    const bool param = b.kind == BufferKind::param;
    value_[i] = nullptr, value_row_[i] = row_[i] = 0;
    value_item_[i] = item_[i] = param ? 0 : b.size;
    if (param) value_[i] = args_.run.params[b.param];
    if (learned && layout_.needs.constant[i]) value_[i] = args_.run.params[b.param] + first * b.size;
    if (state && layout_.needs.constant[i])
      value_[i] = args_.run.state + first * program_.state_size + b.state_offset, value_item_[i] = program_.state_size;
    adjoint_[i] = back_.place[i] < 0 ? nullptr : arena_.get() + back_.place[i];
    if (back_.active[i] && param) adjoint_[i] = params[b.param];
    if (back_.active[i] && learned && !adjoint_[i]) adjoint_[i] = args_.param_grads[b.param] + first * b.size;
    if (!param && !learned && !state && !back_.held[i]) row_[i] = batch * b.size;
  }
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const int64_t size = steps * program_.inputs[i].size;
    inputs_[i] = args_.run.inputs[i] + first * size;
    input_grads_[i] = args_.input_grads[i] ? args_.input_grads[i] + first * size : nullptr;
    if (input_grads_[i]) space_.clear(input_grads_[i], batch * size);
  }
  for (size_t i = 0; i < output_grads_.size(); ++i) {
    const int64_t size = output_steps_[i] * program_.outputs[i].size;
    output_grads_[i] = args_.output_grads[i] ? args_.output_grads[i] + first * size : nullptr;
  }
}

// Brings the state of a window's beginning to where `replay_` runs.
template <class T>
void Backward<T>::restore(int64_t window) {
  const int64_t first = group_ * layout_.geometry.group, n = layout_.items(group_);
  const Checkpoint& c = layout_.checkpoint();
  const char* at = window ? tape_ + layout_.checkpoint_at(window) : nullptr;
  const T* state = window ? reinterpret_cast<const T*>(at + c.state) : args_.run.state;
  const int32_t* istate = window ? reinterpret_cast<const int32_t*>(at + c.istate) : args_.run.istate;
  const int64_t row = program_.state_size, words = program_.istate_size;
  space_.copy(state + first * row, scratch_.state + first * row, n * row);
  space_.copy(istate + first * words, scratch_.istate + first * words, n * words);
  for (size_t p = 0; p < c.learned.size(); ++p) {
    if (c.learned[p] < 0) continue;
    const T* from = window ? reinterpret_cast<const T*>(at + c.learned[p]) : args_.run.params[p];
    const int64_t size = program_.params[p].size;
    space_.copy(from + first * size, scratch_.params[p] + first * size, n * size);
  }
}

template <class T>
void Backward<T>::place_window(int64_t window) {
  const T* values;
  if (window >= layout_.first_kept) {
    values = reinterpret_cast<const T*>(tape_ + layout_.values_at(window, group_));
  } else {
    restore(window);
    replay_->replay(group_, window);
    values = replay_->values();
  }
  const WindowPlaces& places = layout_.places(window, group_);
  for (size_t i = 0; i < value_.size(); ++i) {
    if (places.place[i] < 0) continue;
    value_[i] = const_cast<T*>(values) + places.place[i];  // ops only read values on the way back
    value_row_[i] = frame_.value.batch * program_.buffers[i].size, value_item_[i] = program_.buffers[i].size;
  }
  frame_.value.offset = frame_.adjoint.offset = window * layout_.geometry.window;
  frame_.value.first_step = frame_.adjoint.first_step = args_.run.first_step + frame_.value.offset;
}

// The adjoints after the run: in place, or in the last row of the last window.
template <class T>
void Backward<T>::start() {
  const int64_t first = frame_.value.first_item, n = frame_.value.batch;
  const int64_t last = layout_.windows ? layout_.steps(layout_.windows - 1) : 0;
  for (size_t i = 0; i < program_.buffers.size(); ++i) {
    const Buffer& b = program_.buffers[i];
    if (!back_.active[i]) continue;
    if (b.kind == BufferKind::learned) {
      const T* given = args_.learned_grads[b.param];
      if (given)
        space_.copy(given + first * b.size, adjoint_[i], n * b.size);
      else
        space_.clear(adjoint_[i], n * b.size);
    }
    if (b.kind != BufferKind::state && b.kind != BufferKind::carried) continue;
    T* to = adjoint_[i] + last * row_[i];
    if (!args_.state_out_grad)
      space_.clear(to, n * b.size);
    else
      space_.copy_items(args_.state_out_grad + first * program_.state_size + b.state_offset, program_.state_size, to,
                        b.size, b.size, n);
  }
}

template <class T>
void Backward<T>::zero_rows(int64_t steps) {
  for (size_t i = 0; i < program_.buffers.size(); ++i)
    if (back_.active[i] && row_[i] && !back_.unset[i]) space_.clear(adjoint_[i], steps * row_[i]);
}

// What is left at the first step is the gradient by the state.
template <class T>
void Backward<T>::finish() {
  if (!args_.state_grad) return;
  const int64_t size = program_.state_size, first = frame_.value.first_item, n = frame_.value.batch;
  if (args_.state_out_grad)  // what no buffer holds stays as it is
    space_.copy(args_.state_out_grad + first * size, args_.state_grad + first * size, n * size);
  else
    space_.clear(args_.state_grad + first * size, n * size);
  for (size_t i = 0; i < program_.buffers.size(); ++i) {
    const Buffer& b = program_.buffers[i];
    if (b.kind != BufferKind::state && b.kind != BufferKind::carried) continue;
    T* to = args_.state_grad + first * size + b.state_offset;
    if (back_.active[i])
      space_.copy_items(adjoint_[i], b.size, to, size, b.size, n);
    else if (args_.state_out_grad)
      for (int64_t k = 0; k < n; ++k) space_.clear(to + k * size, b.size);
  }
}

template <class T>
void Backward<T>::clear(const BackOp<T>& op) {
  const Frame<T>& f = frame_.adjoint;
  for (const Clearing& c : op.clearings) {
    T* const first = c.operand.at(f, 0, 0);
    space_.zero_elements(first, f.batch, (c.operand.at(f, 0, 1) - first) * int64_t{sizeof(T)}, c.elements, sizeof(T));
  }
}

template <class T>
void Backward<T>::sequence(const std::vector<BackOp<T>>& ops, int64_t steps, bool last_window) {
  for (auto op = ops.rbegin(); op != ops.rend(); ++op) {
    if (op->only_last && !last_window) continue;
    const int64_t first = op->only_last ? steps - 1 : 0;
    const int64_t length = op->step_by_step ? 1 : steps - first;
    for (int64_t t1 = steps; t1 > first; t1 -= length) {
      if (op->params && op->params_each_step) op->op->grad_params(frame_, t1 - length, t1);
      if (op->passes) op->op->grad(frame_, t1 - length, t1);
      if (op->params && !op->params_each_step) op->op->grad_params(frame_, t1 - length, t1);
      clear(*op);
    }
  }
}

template <class T>
void Backward<T>::loop(const typename BackPlan<T>::Part& part, int64_t steps, bool last_window) {
  const std::vector<BackOp<T>>& ops = part.ops;
  if (part.whole) part.whole->grad(frame_, 0, steps);
  for (int64_t t = steps - 1; t >= 0 && !part.whole; --t)
    for (auto op = ops.rbegin(); op != ops.rend(); ++op) {
      if (op->only_last && !(last_window && t == steps - 1)) continue;
      if (op->params_each_step) op->op->grad_params(frame_, t, t + 1);
      if (op->passes) op->op->grad(frame_, t, t + 1);
      clear(*op);
    }
  for (auto op = ops.rbegin(); op != ops.rend(); ++op) {
    if (!op->params || op->params_each_step || (op->only_last && !last_window)) continue;
    op->op->grad_params(frame_, op->only_last ? steps - 1 : 0, steps);
  }
}

template <class T>
bool Backward<T>::run(int64_t group, const std::vector<T*>& params) {
  place_group(group, params);
  start();
  const int64_t windows = layout_.windows;
  for (int64_t w = windows - 1; w >= 0; --w) {
    if (args_.run.cancel && args_.run.cancel->load(std::memory_order_relaxed)) return false;
    const int64_t steps = layout_.steps(w);
    place_window(w);
    zero_rows(steps);
    for (auto part = back_.parts.rbegin(); part != back_.parts.rend(); ++part) {
      if (part->loop)
        loop(*part, steps, w + 1 == windows);
      else
        sequence(part->ops, steps, w + 1 == windows);
    }
    if (w == 0) break;
    for (size_t i = 0; i < program_.buffers.size(); ++i)
      if (back_.active[i] && program_.buffers[i].kind == BufferKind::carried)
        space_.copy(adjoint_[i], adjoint_[i] + layout_.steps(w - 1) * row_[i], row_[i]);
  }
  finish();
  return true;
}

template class Backward<float>;
template class Backward<double>;

}  // namespace nengo_dl
