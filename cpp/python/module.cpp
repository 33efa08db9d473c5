// The Python face of the engine, `nengo_dl._engine`.
#include <link.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

#include "engine/engine.h"
#include "engine/kind.h"
#include "neurons/registry.h"
#include "python/callbacks.h"
#include "python/node_function.h"
#include "python/runs.h"

namespace py = pybind11;
using namespace pybind11::literals;

namespace nengo_dl {
namespace {

const char* name_of(Access a) {
  return a == Access::read ? "read" : a == Access::write ? "write" : a == Access::inc ? "inc" : "update";
}

const char* name_of(AttrType t) {
  return t == AttrType::integer    ? "int"
         : t == AttrType::number   ? "float"
         : t == AttrType::text     ? "str"
         : t == AttrType::integers ? "ints"
                                   : "floats";
}

const char* name_of(Gradient g) { return g == Gradient::exact ? "exact" : g == Gradient::type ? "type" : "none"; }

const char* name_of(Edge e) {
  return e == Edge::input ? "input" : e == Edge::output ? "output" : e == Edge::python ? "python" : "";
}

py::dict facts_of(const Kind& kind) {
  py::list args, attrs;
  for (const ArgSpec& a : kind.args)
    args.append(py::dict("name"_a = a.name, "access"_a = name_of(a.access), "rank"_a = a.rank,
                         "optional"_a = a.optional, "old_value"_a = a.old_value));
  for (const AttrSpec& a : kind.attrs)
    attrs.append(py::dict("name"_a = a.name, "type"_a = name_of(a.type), "per_block"_a = a.per_block,
                          "optional"_a = a.optional));
  return py::dict("args"_a = args, "attrs"_a = attrs, "settable"_a = kind.settable, "merges"_a = kind.merges,
                  "slices"_a = kind.slices, "lanes"_a = kind.lanes, "rows"_a = kind.rows,
                  "gradient"_a = name_of(kind.gradient), "reads"_a = kind.reads, "edge"_a = name_of(kind.edge),
                  "elements"_a = kind.elements);
}

// /proc/self/maps says so, too, and takes a thousand times as long: milliseconds where TensorFlow is loaded.
std::vector<std::string> loaded_libraries() {
  std::vector<std::string> names;
  const auto add = [](dl_phdr_info* info, size_t, void* to) {
    static_cast<std::vector<std::string>*>(to)->push_back(info->dlpi_name);
    return 0;
  };
  dl_iterate_phdr(add, &names);
  return names;
}

py::dict op_specs() {
  py::dict specs;
  for (const std::string& name : kind_names()) specs[py::str(name)] = facts_of(find_kind(name));
  return specs;
}

py::dict neuron_types() {
  py::dict types;
  for (const NeuronSpec& s : neuron_specs())
    types[py::str(s.name)] = py::dict("parameters"_a = s.parameters, "flags"_a = s.flags, "states"_a = s.states,
                                      "draws"_a = s.draws, "spikes"_a = s.spikes, "rate_form"_a = s.rate_form);
  return types;
}

py::dict surrogates() {
  py::dict all;
  for (const SurrogateSpec& s : surrogate_specs()) all[py::str(s.name)] = py::dict("width"_a = s.width);
  return all;
}

py::list fused(const Compiled& compiled) {
  py::list result;
  for (const FusedOps& f : compiled.fused()) result.append(py::make_tuple(f.region, f.first, f.count, f.text));
  return result;
}

py::list loops(const Compiled& compiled, int64_t items) {
  py::list result;
  for (const WholeLoop& l : compiled.loops(items)) result.append(py::make_tuple(l.region, l.how, l.seconds));
  return result;
}

py::list divided(const Compiled& compiled, int threads) {
  py::list result;
  for (const DividedOps& d : compiled.divided(threads))
    result.append(py::make_tuple(d.region, d.first, d.count, d.how, d.longest));
  return result;
}

int64_t add_python_callbacks(std::vector<py::object> functions) {
  for (const py::object& f : functions)
    if (!PyCallable_Check(f.ptr()) && !py::isinstance<NodeFunction>(f))
      throw py::type_error("add_callbacks: " + std::string(py::repr(f)) + " is not callable");
  return add_callbacks(std::make_shared<PythonCallbacks>(std::move(functions)));
}

py::object callback_error(int64_t handle) {
  auto table = std::static_pointer_cast<PythonCallbacks>(find_callbacks(handle));  // this module adds no others
  return table->take_error();
}

std::string default_backend = "cpu";  // guarded by the GIL

void set_backend(const std::string& name) {
  const std::vector<std::string> known = backends();
  if (std::find(known.begin(), known.end(), name) == known.end())
    throw py::value_error("set_backend: expected one of " + std::string(py::str(py::cast(known))) + ", got '" + name +
                          "'");
  default_backend = name;
}

}  // namespace
}  // namespace nengo_dl

PYBIND11_MODULE(_engine, m) {
  using namespace nengo_dl;
  m.doc() = "The engine: compiles programs (docs/PROGRAM.md) and runs them.";
  py::register_exception<ProgramError>(m, "ProgramError", PyExc_ValueError);

  py::class_<Compiled> compiled(m, "Compiled", "A compiled program; any number of runs may use it at once.");
  compiled
      .def(py::init([](const py::bytes& bytes, const std::optional<std::string>& backend, std::optional<bool> fuse) {
             return std::make_unique<Compiled>(std::string_view(bytes), backend.value_or(default_backend),
                                               fuse.value_or(fuses()));
           }),
           py::arg("bytes"), py::arg("backend") = py::none(), py::arg("fuse") = py::none())
      .def("fused", &fused, "(region, first op, number of ops, what they are) of chains that run as one.")
      .def("loops", &loops, py::arg("items"),
           "(region, how, seconds) of loops that run as one: the way that is taken for so many items, and what a step "
           "of\n"
           "it is predicted to take.")
      .def("divided", &divided, py::arg("threads"),
           "(region, first op, number of ops, \"islands\", \"steps\" or \"alone\", part of the longest share) of what\n"
           "threads share out when there are fewer items than threads.")
      .def_property_readonly("backend", &Compiled::backend, "The name of its backend.");
  define_runs(m, compiled);
  define_bound(m);
  define_node_functions(m);

  m.def("add_callbacks", &add_python_callbacks, py::arg("functions"),
        "Register functions f(item, time, inputs, outputs); returns the number of the table.");
  m.def("remove_callbacks", &remove_callbacks, py::arg("handle"), "Forget a table of callbacks.");
  m.def("callback_error", &callback_error, py::arg("handle"),
        "The first exception raised in a table since the last call of this, or None.");
  m.def("loaded_libraries", &loaded_libraries,
        "The files of the shared libraries that this process has loaded, as it found them.");
  m.def("backends", &backends, "The names of the backends.");
  m.def("load_cuda", &load_cuda,
        "Add the backend \"cuda\"; RuntimeError if this package was built without it, or there is no GPU.");
  m.def("cuda_info", &cuda_info,
        "The GPU, its driver and whether there is cuBLAS; RuntimeError unless \"cuda\" is loaded.");
  m.def("cuda_seconds", &cuda_seconds,
        "Seconds that the last run or gradient took on the GPU, without copies of arguments and results.");
  m.def("cuda_memory", &cuda_memory,
        "Bytes of the GPU's memory that are free, and of all of it; RuntimeError unless \"cuda\" is loaded.");
  m.def("set_backend", &set_backend, py::arg("name"),
        "The backend of programs compiled later here, unless they name one.");
  m.def("isa", &isa, "The instruction set that programs compiled now will use.");
  m.def("set_isa", &set_isa, py::arg("name"), "Choose another instruction set for programs compiled later.");
  m.def("isas", &isas, "The instruction sets that this processor and this library have.");
  m.def("op_specs", &op_specs, "The facts of the op kinds by name (cpp/engine/kind.h; ir/kinds.py has the same).");
  m.def("neuron_types", &neuron_types, "The facts of the neuron types by name.");
  m.def("surrogates", &surrogates, "What stands for the derivative of a spike, by name; which of them have a width.");
}
