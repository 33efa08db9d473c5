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
// fresh copy of the input, which it may keep.
class __attribute__((visibility("hidden"))) NodeFunction {
 public:
  // `store(item, time, ins, outs, value)` does what Nengo does with a value that is no plain number or array of
  // numbers, or not finite; `failed(error)` makes of what the function raised what the run raises.
  NodeFunction(pybind11::object function, bool with_time, pybind11::object user_code, pybind11::object store,
               pybind11::object failed)
      : function_(std::move(function)),
        store_(std::move(store)),
        failed_(std::move(failed)),
        code_object_(std::move(user_code)),
        code_(&code_object_.cast<const UserCode&>()),
        with_time_(with_time) {}

  // Calls the function for one item, with what `input` holds, and writes what it returns to `out` if it is plain;
  // otherwise returns it, for `store`. Null: it was written.
  pybind11::object call(const CallbackSite& site, double time, const pybind11::array& input, void* out) const;
  const pybind11::object& store() const { return store_; }

 private:
  pybind11::object value_of(double time, const pybind11::array& input) const;

  pybind11::object function_, store_, failed_, code_object_;
  const UserCode* code_;
  bool with_time_;
};

void define_node_functions(pybind11::module_& module);

}  // namespace nengo_dl
