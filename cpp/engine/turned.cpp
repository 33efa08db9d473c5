#include "engine/turned.h"

#include <algorithm>

namespace nengo_dl {
namespace {

// Few columns or rows: all of them at once.
template <class T, int64_t N>
void few_columns(const T* from, int64_t rows, T* to) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < N; ++j) to[j * rows + i] = from[i * N + j];
}

template <class T, int64_t N>
void few_rows(const T* from, int64_t columns, T* to) {
  for (int64_t j = 0; j < columns; ++j)
    for (int64_t i = 0; i < N; ++i) to[j * N + i] = from[i * columns + j];
}

template <class T, int64_t N>
bool few(const T* from, int64_t rows, int64_t columns, T* to) {
  if (columns == N) return few_columns<T, N>(from, rows, to), true;
  if (rows == N) return few_rows<T, N>(from, columns, to), true;
  if constexpr (N > 2) return few<T, N - 1>(from, rows, columns, to);
  return false;
}

bool turns(const Program& p) {
  return std::any_of(p.params.begin(), p.params.end(), [](const Param& q) { return q.turns(); });
}

}  // namespace

template <class T>
void transpose(const T* from, int64_t rows, int64_t columns, T* to) {
  constexpr int64_t kFew = 8, kTile = 32;
  if (few<T, kFew>(from, rows, columns, to)) return;
  for (int64_t i0 = 0; i0 < rows; i0 += kTile)
    for (int64_t j0 = 0; j0 < columns; j0 += kTile)
      for (int64_t i = i0; i < std::min(rows, i0 + kTile); ++i)
        for (int64_t j = j0; j < std::min(columns, j0 + kTile); ++j) to[j * rows + i] = from[i * columns + j];
}

template <class T>
void turn(const Param& q, const T* from, T* to, bool inwards) {
  const int64_t rows = inwards ? q.columns : q.rows, columns = inwards ? q.rows : q.columns;
  for (int64_t at = 0; at < q.size; at += rows * columns) transpose(from + at, rows, columns, to + at);
}

template <class T>
TurnedRun<T>::TurnedRun(const Program& p, const RunArgs<T>& args, bool on_host) : given_(args) {
  if (!on_host || !turns(p)) return;
  args_ = args;
  for (size_t i = 0; i < p.params.size(); ++i) {
    if (!p.params[i].turns()) continue;
    copies_.emplace_back(new T[p.params[i].size]);
    turn(p.params[i], args.params[i], copies_.back().get(), true);
    args_.params[i] = copies_.back().get();
  }
}

template <class T>
TurnedGrad<T>::TurnedGrad(const Program& p, const GradArgs<T>& args, bool on_host)
    : program_(p), given_(args), run_(p, args.run, on_host), turns_(turns(p)) {
  if (!turns_) return;
  args_ = args;
  args_.run = run_.args();
  for (size_t i = 0; i < p.params.size(); ++i) {
    if (!p.params[i].turns() || !args.param_grads[i]) continue;
    copies_.emplace_back(new T[p.params[i].size]);
    args_.param_grads[i] = copies_.back().get();
  }
}

template <class T>
void TurnedGrad<T>::bring_back() const {
  if (!turns_) return;
  for (size_t i = 0; i < program_.params.size(); ++i)
    if (program_.params[i].turns() && given_.param_grads[i])
      turn(program_.params[i], args_.param_grads[i], given_.param_grads[i], false);
}

#define INSTANTIATE(T)                                     \
  template void transpose(const T*, int64_t, int64_t, T*); \
  template void turn(const Param&, const T*, T*, bool);    \
  template class TurnedRun<T>;                             \
  template class TurnedGrad<T>;
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace nengo_dl
