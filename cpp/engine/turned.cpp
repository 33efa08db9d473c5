#include "engine/turned.h"

#include <algorithm>

namespace nengo_dl {
namespace {

bool turns(const Program& p) {
  return std::any_of(p.params.begin(), p.params.end(), [](const Param& q) { return q.turns(); });
}

}  // namespace

template <class T>
void turn(Space& space, const Param& q, const T* from, T* to, bool inwards) {
  const int64_t rows = inwards ? q.columns : q.rows, columns = inwards ? q.rows : q.columns;
  space.transpose(from, rows, columns, q.size / (rows * columns), to, sizeof(T));
}

template <class T>
TurnedRun<T>::TurnedRun(Space& space, const Program& p, const RunArgs<T>& args) : given_(args) {
  if (!(space.on_host() || args.there) || !turns(p)) return;
  args_ = args;
  for (size_t i = 0; i < p.params.size(); ++i) {
    if (!p.params[i].turns()) continue;
    copies_.push_back(allocate<T>(space, p.params[i].size));
    turn(space, p.params[i], args.params[i], copies_.back().get(), true);
    args_.params[i] = copies_.back().get();
  }
}

template <class T>
TurnedGrad<T>::TurnedGrad(Space& space, const Program& p, const GradArgs<T>& args)
    : space_(space), program_(p), given_(args), run_(space, p, args.run), turns_(turns(p)) {
  if (!turns_) return;
  args_ = args;
  args_.run = run_.args();
  for (size_t i = 0; i < p.params.size(); ++i) {
    if (!p.params[i].turns() || !args.param_grads[i]) continue;
    copies_.push_back(allocate<T>(space, p.params[i].size));
    args_.param_grads[i] = copies_.back().get();
  }
}

template <class T>
void TurnedGrad<T>::bring_back() const {
  if (!turns_) return;
  for (size_t i = 0; i < program_.params.size(); ++i)
    if (program_.params[i].turns() && given_.param_grads[i])
      turn(space_, program_.params[i], args_.param_grads[i], given_.param_grads[i], false);
}

#define INSTANTIATE(T)                                          \
  template void turn(Space&, const Param&, const T*, T*, bool); \
  template class TurnedRun<T>;                                  \
  template class TurnedGrad<T>;
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace nengo_dl
