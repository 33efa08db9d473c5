#include "engine/resident.h"

#include <algorithm>

namespace nengo_dl {

template <class T>
T* Visitors::room(const T* host, int64_t count) {
  if (!host) return nullptr;
  memory_.push_back(allocate<char>(space_, count * static_cast<int64_t>(sizeof(T))));
  return reinterpret_cast<T*>(memory_.back().get());
}

template <class T>
T* Visitors::add(const T* host, int64_t count) {
  T* copy = room(host, count);
  if (copy && count > 0) space_.copy_in(host, copy, count * static_cast<int64_t>(sizeof(T)));
  return copy;
}

template <class T>
int64_t piece_steps(const Space& space, const Program& p, const RunArgs<T>& args) {
  int64_t elements = 0;
  for (const Port& input : p.inputs) elements += input.size;
  for (size_t i = 0; i < p.outputs.size(); ++i) elements += args.keep_last[i] ? 0 : p.outputs[i].size;
  const int64_t most = space.piece_bytes() / static_cast<int64_t>(sizeof(T)) / args.batch;
  return std::max<int64_t>(1, std::min(args.n_steps, elements ? most / elements : args.n_steps));
}

template <class T>
ResidentRun<T>::ResidentRun(Space& space, const Program& p, const RunArgs<T>& args, const SentParams& sent,
                            int64_t piece)
    : space_(space), program_(p), host_(args), sent_(sent), visitors_(space) {
  if (space.on_host()) return;
  args_ = args;
  args_.n_steps = piece;
  if (!args.there) {
    make_room();
    space.wait();  // for what may still use the memory: what is sent comes in beside it
    send(0);
    send_params();
    args_.state = visitors_.add(args.state, args.batch * p.state_size);
  }
  args_.istate = visitors_.add(args.istate, args.batch * p.istate_size);
}

template <class T>
void ResidentRun<T>::make_room() {
  const Program& p = program_;
  const int64_t batch = args_.batch, piece = args_.n_steps;
  for (int set = 0; set < (follows(0) ? 2 : 1); ++set) {
    for (size_t i = 0; i < p.inputs.size(); ++i)
      inputs_[set].push_back(visitors_.room(host_.inputs[i], batch * piece * p.inputs[i].size));
    for (size_t i = 0; i < host_.outputs.size(); ++i)
      outputs_[set].push_back(
          visitors_.room(host_.outputs[i], batch * (host_.keep_last[i] ? 1 : piece) * p.outputs[i].size));
  }
  std::copy(inputs_[0].begin(), inputs_[0].end(), args_.inputs.begin());
  args_.outputs = outputs_[0];
}

template <class T>
void ResidentRun<T>::send_params() {
  const Program& p = program_;
  for (size_t i = 0; i < p.params.size(); ++i)
    args_.params[i] = p.params[i].learned ? visitors_.add(host_.params[i], args_.batch * p.params[i].size)
                                          : static_cast<T*>(sent_[i].get());
}

template <class T>
int64_t ResidentRun<T>::turn_to(int64_t step) {
  if (space_.on_host()) return 0;
  if (const int64_t piece = step / args_.n_steps; piece != piece_) {
    piece_ = piece, met_ = false;
    std::copy(inputs_[piece % 2].begin(), inputs_[piece % 2].end(), args_.inputs.begin());
    args_.outputs = outputs_[piece % 2];
    args_.first_step = host_.first_step + piece * args_.n_steps;
  }
  return piece_ * args_.n_steps;
}

template <class T>
void ResidentRun<T>::meanwhile() {
  if (space_.on_host() || met_) return;
  met_ = true;
  if (piece_ > 0) fetch(piece_ - 1, args_.n_steps);
  if (follows(piece_)) send(piece_ + 1);
}

template <class T>
void ResidentRun<T>::send(int64_t piece) {
  const int64_t first = piece * args_.n_steps, steps = std::min(args_.n_steps, host_.n_steps - first);
  for (size_t i = 0; i < program_.inputs.size(); ++i) {
    const int64_t bytes = program_.inputs[i].size * static_cast<int64_t>(sizeof(T));
    if (host_.inputs[i] && steps * bytes > 0)
      space_.bring_in(host_.inputs[i] + first * program_.inputs[i].size, host_.n_steps * bytes, inputs_[piece % 2][i],
                      args_.n_steps * bytes, steps * bytes, args_.batch);
  }
}

// Of an output that keeps the last step only, that of the piece, should it be the last one.
template <class T>
void ResidentRun<T>::fetch(int64_t piece, int64_t steps) const {
  for (size_t i = 0; i < args_.outputs.size(); ++i) {
    const int64_t bytes = program_.outputs[i].size * static_cast<int64_t>(sizeof(T));
    const bool last = args_.keep_last[i];
    if (!host_.outputs[i] || steps * bytes == 0 || (last && piece != piece_)) continue;
    space_.bring_out(outputs_[piece % 2][i], (last ? 1 : args_.n_steps) * bytes,
                     host_.outputs[i] + (last ? 0 : piece * args_.n_steps * program_.outputs[i].size),
                     (last ? 1 : host_.n_steps) * bytes, (last ? 1 : steps) * bytes, args_.batch);
  }
}

template <class T>
void ResidentRun<T>::bring_back(int64_t steps) const {
  if (space_.on_host()) return;
  const int64_t batch = args_.batch;
  std::vector<Space::Outgoing> all;
  const auto out = [&](const auto* from, auto* to, int64_t count) {
    if (to && count > 0) all.push_back({from, to, count * static_cast<int64_t>(sizeof(*from))});
  };
  out(args_.istate, host_.istate, batch * program_.istate_size);
  if (host_.there) return space_.copy_all_out(all);
  for (size_t i = 0; i < program_.params.size(); ++i)
    if (program_.params[i].learned) out(args_.params[i], host_.params[i], batch * program_.params[i].size);
  out(args_.state, host_.state, batch * program_.state_size);
  space_.copy_all_out(all);
  fetch(piece_, steps - piece_ * args_.n_steps);
}

template <class T>
ResidentGrad<T>::ResidentGrad(Space& space, const Program& p, const GradArgs<T>& args, const SentParams& sent)
    : space_(space), program_(p), host_(args), run_(space, p, args.run, sent, args.run.n_steps), visitors_(space) {
  if (space.on_host()) return;
  args_ = args;
  args_.run = run_.args();
  if (args.run.there) return;
  const int64_t batch = args.run.batch;
  for (size_t i = 0; i < p.outputs.size(); ++i)
    args_.output_grads[i] =
        visitors_.add(args.output_grads[i], batch * (args.run.keep_last[i] ? 1 : args.run.n_steps) * p.outputs[i].size);
  for (size_t i = 0; i < p.params.size(); ++i) {
    args_.learned_grads[i] = visitors_.add(args.learned_grads[i], batch * p.params[i].size);
    args_.param_grads[i] = visitors_.room(args.param_grads[i], (p.params[i].learned ? batch : 1) * p.params[i].size);
  }
  args_.state_out_grad = visitors_.add(args.state_out_grad, batch * p.state_size);
  for (size_t i = 0; i < p.inputs.size(); ++i)
    args_.input_grads[i] = visitors_.room(args.input_grads[i], batch * args.run.n_steps * p.inputs[i].size);
  args_.state_grad = visitors_.room(args.state_grad, batch * p.state_size);
}

template <class T>
void ResidentGrad<T>::bring_back() const {
  if (space_.on_host()) return;
  if (host_.run.there) {
    if (program_.istate_size > 0) space_.wait();  // until the caller's integers were taken
    return;
  }
  const int64_t batch = host_.run.batch;
  std::vector<Space::Outgoing> all;
  const auto out = [&](const T* from, T* to, int64_t count) {
    if (to && count > 0) all.push_back({from, to, count * static_cast<int64_t>(sizeof(T))});
  };
  for (size_t i = 0; i < program_.inputs.size(); ++i)
    out(args_.input_grads[i], host_.input_grads[i], batch * host_.run.n_steps * program_.inputs[i].size);
  for (size_t i = 0; i < program_.params.size(); ++i)
    out(args_.param_grads[i], host_.param_grads[i], (program_.params[i].learned ? batch : 1) * program_.params[i].size);
  out(args_.state_grad, host_.state_grad, batch * program_.state_size);
  space_.copy_all_out(all);
}

template int64_t piece_steps(const Space&, const Program&, const RunArgs<float>&);
template int64_t piece_steps(const Space&, const Program&, const RunArgs<double>&);
template class ResidentRun<float>;
template class ResidentRun<double>;
template class ResidentGrad<float>;
template class ResidentGrad<double>;

}  // namespace nengo_dl
