// NumPy arrays as the engine takes them: checked, never converted.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

namespace nengo_dl {

inline std::string shape_of(const std::vector<pybind11::ssize_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

// The data of an array that is exactly what was due, or ValueError.
template <class T>
T* data_of(const pybind11::handle& object, const std::vector<pybind11::ssize_t>& shape, bool write,
           const std::string& what) {
  namespace py = pybind11;
  const std::string due = shape_of(shape) + " array of " + std::string(py::str(py::dtype::of<T>())) + ", C-contiguous" +
                          (write ? " and writable" : "");
  if (!py::isinstance<py::array>(object))
    throw py::value_error(what + " is a " + std::string(py::str(py::type::of(object).attr("__name__"))) + ", due: a " +
                          due);
  const py::array a = py::reinterpret_borrow<py::array>(object);
  const std::vector<py::ssize_t> came(a.shape(), a.shape() + a.ndim());
  const bool dtype = a.dtype().is(py::dtype::of<T>()) || a.dtype().equal(py::dtype::of<T>());
  const bool contiguous = a.flags() & py::array::c_style;
  const bool aligned = reinterpret_cast<uintptr_t>(a.data()) % alignof(T) == 0;
  if (!dtype || came != shape || !contiguous || !aligned || (write && !a.writeable()))
    throw py::value_error(what + " is a " + shape_of(came) + " array of " + std::string(py::str(a.dtype())) +
                          (contiguous ? "" : ", not C-contiguous") + (aligned ? "" : ", not aligned") +
                          (write && !a.writeable() ? ", not writable" : "") + "; due: a " + due);
  return static_cast<T*>(const_cast<void*>(a.data()));
}

// Zeros from the system cost nothing until they are written.
template <class T>
pybind11::array_t<T> zeros(const std::vector<pybind11::ssize_t>& shape) {
  namespace py = pybind11;
  return py::array_t<T>(py::module_::import("numpy").attr("zeros")(py::tuple(py::cast(shape)), py::dtype::of<T>()));
}

inline void need_count(size_t came, size_t due, const char* what) {
  if (came != due)
    throw pybind11::value_error(std::to_string(came) + " " + what + " given, the program has " + std::to_string(due));
}

}  // namespace nengo_dl
