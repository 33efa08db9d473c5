// NumPy arrays as the engine takes them: checked, never converted.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <string>
#include <vector>

namespace nengo_dl {

inline std::string shape_of(const std::vector<pybind11::ssize_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

// ValueError: what was expected, what was got.
template <class T>
[[noreturn]] void refuse(const pybind11::handle& object, const std::vector<pybind11::ssize_t>& shape, bool write,
                         const std::string& what) {
  namespace py = pybind11;
  const std::string expected = what + ": expected a " + shape_of(shape) + " array of " +
                               std::string(py::str(py::dtype::of<T>())) + ", C-contiguous" +
                               (write ? " and writable" : "") + ", got a ";
  if (!py::isinstance<py::array>(object))
    throw py::value_error(expected + std::string(py::str(py::type::of(object).attr("__name__"))));
  const py::array a = py::reinterpret_borrow<py::array>(object);
  const bool contiguous = a.flags() & py::array::c_style;
  const bool aligned = reinterpret_cast<uintptr_t>(a.data()) % alignof(T) == 0;
  throw py::value_error(expected + shape_of({a.shape(), a.shape() + a.ndim()}) + " array of " +
                        std::string(py::str(a.dtype())) + (contiguous ? "" : ", not C-contiguous") +
                        (aligned ? "" : ", not aligned") + (write && !a.writeable() ? ", not writable" : ""));
}

// Whether an object is an array of exactly this dtype and shape that the engine can read, or write.
template <class T>
bool fits(const pybind11::handle& object, const std::vector<pybind11::ssize_t>& shape, bool write) {
  namespace py = pybind11;
  if (!py::isinstance<py::array>(object)) return false;
  const py::array a = py::reinterpret_borrow<py::array>(object);
  const bool dtype = a.dtype().is(py::dtype::of<T>()) || a.dtype().equal(py::dtype::of<T>());
  const bool same_shape =
      static_cast<size_t>(a.ndim()) == shape.size() && std::equal(shape.begin(), shape.end(), a.shape());
  const bool aligned = reinterpret_cast<uintptr_t>(a.data()) % alignof(T) == 0;
  return dtype && same_shape && aligned && (a.flags() & py::array::c_style) && (!write || a.writeable());
}

// What an array is, for a message: "inputs[0] ('u')"; put together only if there has to be one.
struct Which {
  const char* list;
  size_t index = 0;
  const std::string* name = nullptr;

  Which(const char* one) : list(one) {}
  Which(const char* of, size_t i, const std::string& called) : list(of), index(i), name(&called) {}
  std::string text() const {
    return name ? std::string(list) + "[" + std::to_string(index) + "] ('" + *name + "')" : list;
  }
};

// The data of such an array, or ValueError.
template <class T>
T* data_of(const pybind11::handle& object, const std::vector<pybind11::ssize_t>& shape, bool write,
           const Which& which) {
  namespace py = pybind11;
  if (!fits<T>(object, shape, write)) refuse<T>(object, shape, write, which.text());
  return static_cast<T*>(const_cast<void*>(py::reinterpret_borrow<py::array>(object).data()));
}

// Many zeros from the system cost nothing until they are written; asking NumPy for a few takes longer than to write
// them.
template <class T>
pybind11::array_t<T> zeros(const std::vector<pybind11::ssize_t>& shape) {
  namespace py = pybind11;
  constexpr double kFew = 4096;
  double count = 1;
  for (py::ssize_t n : shape) count *= static_cast<double>(n);
  if (count <= kFew) {
    py::array_t<T> few(shape);
    std::fill_n(few.mutable_data(), few.size(), T(0));
    return few;
  }
  return py::array_t<T>(py::module_::import("numpy").attr("zeros")(py::tuple(py::cast(shape)), py::dtype::of<T>()));
}

inline void need_count(size_t got, size_t expected, const char* what) {
  if (got != expected)
    throw pybind11::value_error(std::string(what) + ": expected " + std::to_string(expected) +
                                ", as the program has, got " + std::to_string(got));
}

}  // namespace nengo_dl
