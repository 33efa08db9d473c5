#include "python/callbacks.h"

#include <cstring>

namespace py = pybind11;

namespace nengo_dl {
namespace {

// "KeyError: 'name'"
std::string describe(const py::object& error) {
  std::string text = py::str(py::type::of(error).attr("__name__"));
  try {
    const std::string more = py::str(error);
    if (!more.empty()) text += ": " + more;
  } catch (const py::error_already_set&) {  // its __str__ raised
    text += " (which can't be shown)";
  }
  return text;
}

}  // namespace

PythonError::PythonError(py::object error)
    : error_(new py::object(std::move(error)),
             [](py::object* e) {
               py::gil_scoped_acquire gil;
               delete e;
             }),
      text_(describe(*error_)) {}

PythonCallbacks::~PythonCallbacks() {
  py::gil_scoped_acquire gil;
  functions_.clear();
  idle_.clear();
  error_ = py::object();
}

py::object PythonCallbacks::take_error() {
  py::object error = error_ ? std::move(error_) : py::none();
  error_ = py::object();
  return error;
}

// A function may keep the arrays or tuples it was given; what it holds must not change under it.
bool PythonCallbacks::Arrays::shared() const {
  if (Py_REFCNT(in_tuple.ptr()) > 1 || Py_REFCNT(out_tuple.ptr()) > 1) return true;
  for (const auto* list : {&in, &out})
    for (const py::array& a : *list)
      if (Py_REFCNT(a.ptr()) > 2) return true;  // ours and the tuple's
  return false;
}

std::unique_ptr<PythonCallbacks::Arrays> PythonCallbacks::make_arrays(const CallbackSite& site) {
  auto arrays = std::make_unique<Arrays>();
  const py::dtype dtype = site.float64 ? py::dtype::of<double>() : py::dtype::of<float>();
  auto fill = [&](const std::vector<std::vector<int64_t>>& shapes, bool writeable, std::vector<py::array>* list,
                  std::vector<void*>* data, std::vector<size_t>* bytes) {
    py::tuple tuple(shapes.size());
    for (size_t i = 0; i < shapes.size(); ++i) {
      py::array a(dtype, std::vector<py::ssize_t>(shapes[i].begin(), shapes[i].end()));
      data->push_back(a.mutable_data());
      bytes->push_back(a.nbytes());
      std::memset(data->back(), 0, bytes->back());
      if (!writeable) a.attr("flags").attr("writeable") = false;
      tuple[i] = a;
      list->push_back(std::move(a));
    }
    return tuple;
  };
  arrays->in_tuple = fill(site.in_shapes, false, &arrays->in, &arrays->in_data, &arrays->in_bytes);
  arrays->out_tuple = fill(site.out_shapes, true, &arrays->out, &arrays->out_data, &arrays->out_bytes);
  return arrays;
}

// Taken out while they are in use: a function may run another simulation with the same callbacks, or another thread
// may.
std::unique_ptr<PythonCallbacks::Arrays> PythonCallbacks::take_arrays(const CallbackSite& site) {
  auto it = idle_.find(&site);
  if (it == idle_.end()) return make_arrays(site);
  std::unique_ptr<Arrays> arrays = std::move(it->second);
  idle_.erase(it);
  return arrays;
}

void PythonCallbacks::call(const CallbackSite& site, int64_t item, double time, const void* const* in,
                           void* const* out) {
  py::gil_scoped_acquire gil;
  try {
    std::unique_ptr<Arrays> a = take_arrays(site);
    for (size_t i = 0; i < a->in.size(); ++i) std::memcpy(a->in_data[i], in[i], a->in_bytes[i]);
    for (size_t i = site.first_state; i < a->out.size(); ++i) std::memcpy(a->out_data[i], out[i], a->out_bytes[i]);
    py::object function = functions_.at(site.index);  // kept alive even if the table goes away meanwhile
    function(item, time, a->in_tuple, a->out_tuple);
    for (size_t i = 0; i < a->out.size(); ++i) std::memcpy(out[i], a->out_data[i], a->out_bytes[i]);
    if (!a->shared()) idle_[&site] = std::move(a);
  } catch (py::error_already_set& e) {
    py::object error = e.value();
    if (e.trace()) PyException_SetTraceback(error.ptr(), e.trace().ptr());
    if (!error_) error_ = error;
    throw PythonError(error);
  }
}

}  // namespace nengo_dl
