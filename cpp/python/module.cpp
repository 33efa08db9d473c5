// The Python face of the engine, `nengo_dl._engine`.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "engine/engine.h"
#include "engine/op.h"
#include "neurons/registry.h"
#include "python/callbacks.h"
#include "python/runs.h"

namespace py = pybind11;

namespace nengo_dl {
namespace {

const char* access_name(Access a) {
  return a == Access::read ? "read" : a == Access::write ? "write" : a == Access::inc ? "inc" : "update";
}

py::dict op_specs() {
  py::dict specs;
  for (const std::string& kind : op_kinds()) {
    const OpSpec& spec = find_op(kind);
    py::list args;
    for (const ArgSpec& a : spec.args) args.append(py::make_tuple(a.name, access_name(a.access), a.rank, a.optional));
    py::dict entry;
    entry["args"] = args;
    entry["attrs"] = spec.attrs;
    specs[py::str(kind)] = entry;
  }
  return specs;
}

py::dict neuron_types() {
  py::dict types;
  for (const NeuronSpec& spec : neuron_specs()) {
    py::dict entry;
    entry["parameters"] = spec.parameters;
    entry["states"] = spec.states;
    entry["draws"] = spec.draws;
    types[py::str(spec.name)] = entry;
  }
  return types;
}

int64_t add_python_callbacks(std::vector<py::object> functions) {
  for (const py::object& f : functions)
    if (!PyCallable_Check(f.ptr()))
      throw py::type_error("add_callbacks: " + std::string(py::repr(f)) + " is not callable");
  return add_callbacks(std::make_shared<PythonCallbacks>(std::move(functions)));
}

py::object callback_error(int64_t handle) {
  auto table = std::static_pointer_cast<PythonCallbacks>(find_callbacks(handle));  // this module adds no others
  return table->take_error();
}

}  // namespace
}  // namespace nengo_dl

PYBIND11_MODULE(_engine, m) {
  using namespace nengo_dl;
  m.doc() = "The engine: compiles programs (docs/PROGRAM.md) and runs them.";
  py::register_exception<ProgramError>(m, "ProgramError", PyExc_ValueError);

  py::class_<Compiled> compiled(m, "Compiled", "A compiled program; any number of runs may use it at once.");
  compiled.def(py::init([](const py::bytes& bytes) { return std::make_unique<Compiled>(std::string_view(bytes)); }),
               py::arg("bytes"));
  define_runs(compiled);

  m.def("add_callbacks", &add_python_callbacks, py::arg("functions"),
        "Register functions f(item, time, inputs, outputs); returns the number of the table.");
  m.def("remove_callbacks", &remove_callbacks, py::arg("handle"), "Forget a table of callbacks.");
  m.def("callback_error", &callback_error, py::arg("handle"),
        "The first exception raised in a table since the last call of this, or None.");
  m.def("isa", &isa, "The instruction set that programs compiled now will use.");
  m.def("set_isa", &set_isa, py::arg("name"), "Choose another instruction set for programs compiled later.");
  m.def("isas", &isas, "The instruction sets that this processor and this library have.");
  m.def("op_specs", &op_specs, "The op kinds: {kind: {'args': [(name, access, rank, optional)], 'attrs': [name]}}.");
  m.def("neuron_types", &neuron_types,
        "The neuron types: {name: {'parameters': [..], 'states': [..], 'draws': bool}}.");
}
