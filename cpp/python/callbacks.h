// Python callables as the engine's callbacks.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <exception>
#include <map>
#include <mutex>
#include <vector>

#include "engine/engine.h"

namespace nengo_dl {

// A Python exception on its way through the engine. Copying and destroying it takes the GIL.
class __attribute__((visibility("hidden"))) PythonError : public std::exception {
 public:
  explicit PythonError(pybind11::object error);  // with the GIL held
  const char* what() const noexcept override { return text_.c_str(); }
  pybind11::object error() const { return *error_; }  // with the GIL held

 private:
  std::shared_ptr<pybind11::object> error_;
  std::string text_;
};

class __attribute__((visibility("hidden"))) PythonCallbacks : public Callbacks {
 public:
  explicit PythonCallbacks(std::vector<pybind11::object> functions) : functions_(std::move(functions)) {}
  ~PythonCallbacks() override;

  int64_t size() const override { return static_cast<int64_t>(functions_.size()); }
  void call(const CallbackSite& site, int64_t item, double time, const void* const* in, void* const* out) override;

  // The first exception since the last call of this, or None; with the GIL held.
  pybind11::object take_error();

 private:
  // Array objects of one site, kept from call to call.
  struct Arrays {
    std::vector<pybind11::array> in, out;
    std::vector<void*> in_data, out_data;
    std::vector<size_t> in_bytes, out_bytes;
    pybind11::tuple in_tuple, out_tuple;
    std::vector<PyObject*> borrowed() const;
    bool shared() const;  // the function kept a reference: new ones are due
  };
  static std::unique_ptr<Arrays> make_arrays(const CallbackSite& site);
  std::unique_ptr<Arrays> take_arrays(const CallbackSite& site);

  std::vector<pybind11::object> functions_;
  std::map<const CallbackSite*, std::unique_ptr<Arrays>> idle_;  // guarded by the GIL
  pybind11::object error_;
};

}  // namespace nengo_dl
