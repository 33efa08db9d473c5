#include "tf/variables.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "absl/strings/str_cat.h"

namespace nengo_dl {
namespace {

using absl::Status;
using tensorflow::Tensor;
using tensorflow::Var;

Tensor copy_of(const Tensor& value) {
  Tensor copy(value.dtype(), value.shape());
  if (value.NumElements() > 0 && !copy.data()) throw std::bad_alloc();
  if (value.NumElements() > 0) std::memcpy(copy.data(), value.tensor_data().data(), value.TotalBytes());
  return copy;
}

// With the variable locked.
Status check(const BoundVar& bound) {
  const Var& var = *bound.var;
  const Tensor& present = *bound.var->tensor();
  const auto expected = [&](const std::string& what, const std::string& got) {
    return absl::InvalidArgumentError(
        absl::StrCat("variable '", bound.name, "': expected to hold ", what, ", got ", got));
  };
  if (!var.is_initialized || present.dtype() != bound.dtype) {
    return expected(tensorflow::DataTypeString(bound.dtype),
                    var.is_initialized ? tensorflow::DataTypeString(present.dtype()) : "nothing");
  }
  const bool fits = bound.items == 0 || (present.dims() > 1 && present.dim_size(0) == bound.items);
  if (fits && present.NumElements() == bound.elements) return absl::OkStatus();
  return expected(bound.items == 0 ? absl::StrCat(bound.elements, " elements")
                                   : absl::StrCat(bound.items, " times ", bound.elements / bound.items,
                                                  " elements (minibatch, size)"),
                  absl::StrCat("shape ", present.shape().DebugString()));
}

}  // namespace

Status read(const BoundVar& bound, Tensor* value) {
  tensorflow::tf_shared_lock lock(*bound.var->mu());
  TF_RETURN_IF_ERROR(check(bound));
  const Tensor& present = *bound.var->tensor();
  *value = bound.var->copy_on_read_mode.load() ? copy_of(present) : present;
  return absl::OkStatus();
}

// In the order of the mutexes' addresses, as TensorFlow's own ops do.
Status WrittenVars::lock() {
  locked_.reserve(vars_.size());
  for (const Written& w : vars_) locked_.push_back(w.var->var.get());
  std::sort(locked_.begin(), locked_.end(), [](Var* a, Var* b) { return a->mu() < b->mu(); });
  if (std::adjacent_find(locked_.begin(), locked_.end()) != locked_.end()) {
    locked_.clear();
    return absl::InvalidArgumentError(
        "state, istate, steps_done and the learned parameters: expected different variables, got two that are the"
        " same");
  }
  for (Var* var : locked_) var->mu()->lock();
  for (const Written& w : vars_) TF_RETURN_IF_ERROR(check(*w.var));
  return absl::OkStatus();
}

void WrittenVars::own() {
  for (Written& w : vars_) {
    const Tensor& present = *w.var->var->tensor();
    const bool in_place = !on_copies_ && w.stays && (items_ == 0 || w.var->items == 0);
    const bool as_it_is = present.NumElements() == 0 || (in_place && present.RefCountIsOne());
    w.tensor = as_it_is ? present : copy_of(present);
  }
  if (on_copies_) unlock();
}

void WrittenVars::commit() {
  for (Written& w : vars_) {
    if (!w.stays) continue;
    if (on_copies_) w.var->var->mu()->lock();
    if (items_ > 0) put_back_others(&w);
    *w.var->var->tensor() = w.tensor;
    if (on_copies_) w.var->var->mu()->unlock();
  }
}

// Rows of items of which nothing stays.
void WrittenVars::put_back_others(Written* w) const {
  if (w->var->items <= items_ || w->tensor.NumElements() == 0) return;
  const int64_t row = w->tensor.TotalBytes() / w->var->items;
  std::memcpy(static_cast<char*>(w->tensor.data()) + items_ * row,
              static_cast<const char*>(w->var->var->tensor()->data()) + items_ * row, (w->var->items - items_) * row);
}

void WrittenVars::unlock() {
  for (Var* var : locked_) var->mu()->unlock();
  locked_.clear();
}

}  // namespace nengo_dl
