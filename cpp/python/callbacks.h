// Python callables as the engine's callbacks.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <exception>
#include <map>
#include <memory>
#include <tuple>
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
  std::unique_ptr<CallbackRun> start(int64_t sites) override;

  // The first exception since the last call of this, or None; with the GIL held.
  pybind11::object take_error();

 private:
  class Run;
  // Array objects for calls of one site, or of another one with the same shapes and dtype.
  struct Arrays {
    std::vector<pybind11::array> in, out;
    std::vector<void*> in_data, out_data;
    std::vector<size_t> in_bytes, out_bytes;
    pybind11::tuple in_tuple, out_tuple;
    bool shared() const;  // the function kept a reference: other arrays from now on
  };
  using Shapes = std::vector<std::vector<int64_t>>;
  using Spare = std::vector<std::unique_ptr<Arrays>>;
  static std::unique_ptr<Arrays> make_arrays(const CallbackSite& site);
  Spare* spare_of(const CallbackSite& site);

  // Guarded by the GIL:
  std::vector<pybind11::object> functions_;
  // What no run uses now, by float64, shapes in, shapes out: the next run need not make it anew.
  std::map<std::tuple<bool, Shapes, Shapes>, Spare, std::less<>> spare_;
  pybind11::object error_;
};

}  // namespace nengo_dl
