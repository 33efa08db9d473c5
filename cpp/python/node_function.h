// Functions of Nodes, called without a step of Python around them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "engine/kernel.h"

namespace nengo_dl {

// What is entered around Python code that the user wrote: Ctrl-C comes through, and it is known which threads are
// within. It keeps the books of nengo_dl.run.turns.UserCode and nengo_dl.run.interrupt.Interrupt. With the GIL held.
class __attribute__((visibility("hidden"))) UserCode {
 public:
  // `flags`: whether Ctrl-C is held back, and whether it was pressed meanwhile; `within`: numbers of threads;
  // `deliver`: what is called instead if it was pressed.
  UserCode(pybind11::bytearray flags, pybind11::list within, pybind11::object deliver, unsigned long main_thread)
      : flags_(std::move(flags)), within_(std::move(within)), deliver_(std::move(deliver)), main_thread_(main_thread) {}

  class Scope {
   public:
    explicit Scope(const UserCode& code);  // throws what Ctrl-C raises
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    const UserCode& code_;
    pybind11::object thread_;
    char* held_ = nullptr;  // in the main thread
    char before_ = 0;
  };

 private:
  pybind11::bytearray flags_;
  pybind11::list within_;
  pybind11::object deliver_;
  unsigned long main_thread_;
};

// The function of a Node, as `nengo.builder.operator.SimPyFunc` calls it: with the time, if it wants that, and with a
// fresh copy of the input, if it has one, which it may keep. Without an input it is called once for all items.
class __attribute__((visibility("hidden"))) NodeFunction {
 public:
  // `given`: whether there is data instead of what the function returns; `step(item, time, ins, outs)`: Nengo's step,
  // which takes the data, or a value that was handed to `returned` before; `failed(error)` makes of what the function
  // raised what the run raises.
  NodeFunction(pybind11::object function, bool with_time, bool with_input, pybind11::object user_code,
               pybind11::bytearray given, pybind11::object step, pybind11::object returned, pybind11::object failed);

  bool given() const { return PyByteArray_AS_STRING(given_.ptr())[0]; }
  bool with_input() const { return with_input_; }
  // Calls the function for one item, with what `input` holds, and writes what it returns to `out` if that is plain.
  // Otherwise it was handed to `returned`, for `step`: false.
  bool call(const CallbackSite& site, double time, const pybind11::array* input, void* out) const;
  const pybind11::object& step() const { return step_; }

 private:
  pybind11::object value_of(double time, const pybind11::array* input) const;

  pybind11::object function_, step_, returned_, failed_, code_object_;
  pybind11::bytearray given_;
  const UserCode* code_;
  bool with_time_, with_input_;
};

void define_node_functions(pybind11::module_& module);

}  // namespace nengo_dl
