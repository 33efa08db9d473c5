#include "python/node_function.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "python/gil.h"

namespace py = pybind11;

namespace nengo_dl {
namespace {

constexpr int kHeld = 0, kPending = 1;  // places in the flags, as in nengo_dl.run.interrupt

// Numbers that become elements of the output as NumPy casts them. False: there is something else to be said of one.
template <class T>
bool take(double value, T* to) {
  if (!(std::abs(value) <= static_cast<double>(std::numeric_limits<T>::max()))) return false;
  *to = static_cast<T>(value);
  return true;
}

template <class T, class From>
bool take_all(const void* values, int64_t count, T* to) {
  const From* from = static_cast<const From*>(values);
  for (int64_t i = 0; i < count; ++i)
    if (!take(static_cast<double>(from[i]), to + i)) return false;
  return true;
}

template <class T>
bool take_array(PyObject* value, const std::vector<int64_t>& shape, T* to) {
  const py::array a = py::reinterpret_borrow<py::array>(value);
  if (static_cast<size_t>(a.ndim()) != shape.size() || !std::equal(shape.begin(), shape.end(), a.shape())) return false;
  if (!(a.flags() & py::array::c_style) || reinterpret_cast<uintptr_t>(a.data()) % alignof(double)) return false;
  const py::dtype dtype = a.dtype();
  if (dtype.is(py::dtype::of<double>())) return take_all<T, double>(a.data(), a.size(), to);
  if (dtype.is(py::dtype::of<float>())) return take_all<T, float>(a.data(), a.size(), to);
  return false;
}

// A number of a type that has a single value for each element's: Python's and NumPy's floats, small integers.
bool number_of(PyObject* value, double* number) {
  static PyObject* const float32 = py::object(py::dtype::of<float>().attr("type")).release().ptr();
  if (PyFloat_Check(value)) {  // NumPy's float64 is one
    *number = PyFloat_AS_DOUBLE(value);
    return true;
  }
  if (reinterpret_cast<PyObject*>(Py_TYPE(value)) != float32 && !PyLong_CheckExact(value)) return false;
  *number = PyFloat_AsDouble(value);
  if (PyErr_Occurred()) {  // an integer beyond all floats
    PyErr_Clear();
    return false;
  }
  constexpr double kExact = 1 << 24;  // every integer up to here is a float32
  return !PyLong_CheckExact(value) || std::abs(*number) <= kExact;
}

// Of a number, an array of floats of the output's shape, or a list or tuple of numbers of its length: whatever else a
// function may return, Nengo sorts out. False: nothing that counts was written.
template <class T>
bool take_value(PyObject* value, const std::vector<int64_t>& shape, T* to) {
  double wide;
  if (number_of(value, &wide)) {
    T number;
    if (!take(wide, &number)) return false;
    int64_t count = 1;
    for (int64_t s : shape) count *= s;
    std::fill(to, to + count, number);
    return true;
  }
  if (Py_TYPE(value) == py::detail::npy_api::get().PyArray_Type_) return take_array(value, shape, to);
  if (!PyList_CheckExact(value) && !PyTuple_CheckExact(value)) return false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(value);
  if (shape.size() != 1 || shape[0] != count) return false;
  PyObject** items = PySequence_Fast_ITEMS(value);
  for (Py_ssize_t i = 0; i < count; ++i)
    if (!number_of(items[i], &wide) || !take(wide, to + i)) return false;
  return true;
}

}  // namespace

UserCode::Scope::Scope(const UserCode& code) : code_(code) {
  const unsigned long thread = PyThread_get_thread_ident();
  char* flags = PyByteArray_AS_STRING(code.flags_.ptr());
  if (thread == code.main_thread_) {
    before_ = flags[kHeld];
    if (flags[kPending])
      call_python(code.deliver_);
    else
      flags[kHeld] = 0;
    held_ = flags + kHeld;
  }
  thread_ = py::reinterpret_steal<py::object>(PyLong_FromUnsignedLong(thread));
  if (!thread_ || PyList_Append(code.within_.ptr(), thread_.ptr()) != 0) throw py::error_already_set();
}

UserCode::Scope::~Scope() {
  PyObject* within = code_.within_.ptr();
  for (Py_ssize_t i = PyList_GET_SIZE(within); i-- > 0;) {  // gone if a call was made meanwhile by another thread
    if (PyList_GET_ITEM(within, i) != thread_.ptr()) continue;
    PyList_SetSlice(within, i, i + 1, nullptr);
    break;
  }
  if (held_) *held_ = before_;
}

NodeFunction::NodeFunction(py::object function, bool with_time, bool with_input, py::object user_code,
                           py::bytearray given, py::object step, py::object returned, py::object failed)
    : function_(std::move(function)),
      step_(std::move(step)),
      returned_(std::move(returned)),
      failed_(std::move(failed)),
      code_object_(std::move(user_code)),
      given_(std::move(given)),
      code_(&code_object_.cast<const UserCode&>()),
      with_time_(with_time),
      with_input_(with_input) {
  if (py::len(given_) != 1) throw py::value_error("given: expected 1 byte, got " + std::to_string(py::len(given_)));
}

py::object NodeFunction::value_of(double time, const py::array* input) const {
  PyObject* args[3] = {nullptr, nullptr, nullptr};
  size_t count = 0;
  py::object t, x;
  if (with_time_) {
    t = py::reinterpret_steal<py::object>(PyFloat_FromDouble(time));
    args[++count] = t.ptr();
  }
  if (with_input_) {
    x = py::reinterpret_steal<py::object>(py::detail::npy_api::get().PyArray_NewCopy_(input->ptr(), 0));
    args[++count] = x.ptr();
  }
  if ((with_time_ && !t) || (with_input_ && !x)) throw py::error_already_set();
  const UserCode::Scope scope(*code_);
  PyObject* value = or_stay(
      [&] { return PyObject_Vectorcall(function_.ptr(), args + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr); });
  if (!value) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(value);
}

bool NodeFunction::call(const CallbackSite& site, double time, const py::array* input, void* out) const {
  py::object value;
  try {
    value = value_of(time, input);
  } catch (py::error_already_set& e) {
    const py::object error = e.value();
    if (e.trace()) PyException_SetTraceback(error.ptr(), e.trace().ptr());
    const py::object raised = call_python(failed_, error);
    PyErr_SetObject(py::type::of(raised).ptr(), raised.ptr());
    throw py::error_already_set();
  }
  if (!out) return true;
  const std::vector<int64_t>& shape = site.out_shapes[0];
  const bool taken = site.float64 ? take_value(value.ptr(), shape, static_cast<double*>(out))
                                  : take_value(value.ptr(), shape, static_cast<float*>(out));
  if (!taken) call_python(returned_, value);
  return taken;
}

void define_node_functions(py::module_& m) {
  py::class_<UserCode>(m, "UserCode", "Python code that the user wrote: what is done before and after it.")
      .def(py::init<py::bytearray, py::list, py::object, unsigned long>(), py::arg("flags"), py::arg("within"),
           py::arg("deliver"), py::arg("main_thread"));
  py::class_<NodeFunction>(m, "NodeFunction", "The function of a Node, for `add_callbacks`.")
      .def(py::init<py::object, bool, bool, py::object, py::bytearray, py::object, py::object, py::object>(),
           py::arg("function"), py::arg("with_time"), py::arg("with_input"), py::arg("user_code"), py::arg("given"),
           py::arg("step"), py::arg("returned"), py::arg("failed"));
}

}  // namespace nengo_dl
