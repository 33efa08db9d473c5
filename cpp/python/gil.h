// The GIL, taken and given up by threads that may be at work when Python ends.
#pragma once

#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <array>

namespace nengo_dl {

// For the rest of the process.
[[noreturn]] inline void stay_here() {
  for (;;) pause();
}

// Calls C functions of Python that take the GIL, perhaps again and again. When the interpreter ends, it ends all
// threads that want the GIL, by pthread_exit: that would unwind this thread's stack, whose objects are destroyed with
// the GIL or not at all. The thread stays where it is instead, as Python itself has it from 3.14 on.
template <class F>
auto or_stay(const F& calls) {
  try {
    return calls();
  } catch (const abi::__forced_unwind&) {
    stay_here();
  }
}

inline PyGILState_STATE take_gil() {
  if (!PyGILState_GetThisThreadState() && !Py_IsInitialized()) stay_here();  // Python can't know this thread any more
  return or_stay([] { return PyGILState_Ensure(); });
}

class GilHeld {
 public:
  GilHeld() : before_(take_gil()) {}
  ~GilHeld() {
    or_stay([this] { PyGILState_Release(before_); });
  }
  GilHeld(const GilHeld&) = delete;
  GilHeld& operator=(const GilHeld&) = delete;

 private:
  PyGILState_STATE before_;
};

class GilReleased {
 public:
  GilReleased() : state_(PyEval_SaveThread()) {}
  ~GilReleased() {
    or_stay([this] { PyEval_RestoreThread(state_); });
  }
  GilReleased(const GilReleased&) = delete;
  GilReleased& operator=(const GilReleased&) = delete;

 private:
  PyThreadState* state_;
};

// Calls a function that may be written in Python.
template <class... Args>
pybind11::object call_python(pybind11::handle function, const Args&... args) {
  const std::array<pybind11::object, sizeof...(Args)> held{pybind11::reinterpret_steal<pybind11::object>(
      pybind11::detail::make_caster<Args>::cast(args, pybind11::return_value_policy::automatic_reference, nullptr))...};
  std::array<PyObject*, sizeof...(Args) + 1> given{};  // before the first: room for the function to use
  for (size_t i = 0; i < held.size(); ++i) {
    if (!held[i]) throw pybind11::error_already_set();
    given[i + 1] = held[i].ptr();
  }
  PyObject* result = or_stay([&] {
    return PyObject_Vectorcall(function.ptr(), given.data() + 1, held.size() | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  });
  if (!result) throw pybind11::error_already_set();
  return pybind11::reinterpret_steal<pybind11::object>(result);
}

}  // namespace nengo_dl
