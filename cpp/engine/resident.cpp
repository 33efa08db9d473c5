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
ResidentRun<T>::ResidentRun(Space& space, const Program& p, const RunArgs<T>& args)
    : space_(space), program_(p), host_(args), visitors_(space) {
  if (space.on_host()) return;
  args_ = args;
  for (size_t i = 0; i < p.inputs.size(); ++i)
    args_.inputs[i] = visitors_.add(args.inputs[i], args.batch * args.n_steps * p.inputs[i].size);
  for (size_t i = 0; i < p.params.size(); ++i)
    args_.params[i] = visitors_.add(args.params[i], (p.params[i].learned ? args.batch : 1) * p.params[i].size);
  args_.state = visitors_.add(args.state, args.batch * p.state_size);
  args_.istate = visitors_.add(args.istate, args.batch * p.istate_size);
  for (size_t i = 0; i < args.outputs.size(); ++i)
    args_.outputs[i] =
        visitors_.room(args.outputs[i], args.batch * (args.keep_last[i] ? 1 : args.n_steps) * p.outputs[i].size);
}

template <class T>
void ResidentRun<T>::bring_back(int64_t steps) const {
  if (space_.on_host()) return;
  const int64_t batch = args_.batch;
  const auto out = [&](const auto* from, auto* to, int64_t count) {
    if (to && count > 0) space_.copy_out(from, to, count * static_cast<int64_t>(sizeof(*from)));
  };
  for (size_t i = 0; i < program_.params.size(); ++i)
    if (program_.params[i].learned) out(args_.params[i], host_.params[i], batch * program_.params[i].size);
  out(args_.state, host_.state, batch * program_.state_size);
  out(args_.istate, host_.istate, batch * program_.istate_size);
  for (size_t i = 0; i < args_.outputs.size(); ++i) {
    const bool last = args_.keep_last[i];
    const int64_t item = (last ? 1 : args_.n_steps) * program_.outputs[i].size;
    const int64_t done = (last ? std::min<int64_t>(steps, 1) : steps) * program_.outputs[i].size;
    if (done == item)
      out(args_.outputs[i], host_.outputs[i], batch * item);
    else
      for (int64_t b = 0; b < batch; ++b) out(args_.outputs[i] + b * item, host_.outputs[i] + b * item, done);
  }
}

template <class T>
ResidentGrad<T>::ResidentGrad(Space& space, const Program& p, const GradArgs<T>& args)
    : space_(space), program_(p), host_(args), run_(space, p, args.run), visitors_(space) {
  if (space.on_host()) return;
  args_ = args;
  args_.run = run_.args();
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
  const int64_t batch = host_.run.batch;
  const auto out = [&](const T* from, T* to, int64_t count) {
    if (to && count > 0) space_.copy_out(from, to, count * static_cast<int64_t>(sizeof(T)));
  };
  for (size_t i = 0; i < program_.inputs.size(); ++i)
    out(args_.input_grads[i], host_.input_grads[i], batch * host_.run.n_steps * program_.inputs[i].size);
  for (size_t i = 0; i < program_.params.size(); ++i)
    out(args_.param_grads[i], host_.param_grads[i], (program_.params[i].learned ? batch : 1) * program_.params[i].size);
  out(args_.state_grad, host_.state_grad, batch * program_.state_size);
}

template class ResidentRun<float>;
template class ResidentRun<double>;
template class ResidentGrad<float>;
template class ResidentGrad<double>;

}  // namespace nengo_dl
