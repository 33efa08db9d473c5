// The Python face of the engine, `nengo_dl._engine`.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "engine/engine.h"
#include "engine/op.h"
#include "neurons/registry.h"
#include "python/callbacks.h"

namespace py = pybind11;

namespace nengo_dl {
namespace {

std::string shape_of(const std::vector<py::ssize_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

// The data of an array that is exactly what was due, or ValueError.
template <class T>
T* data_of(const py::handle& object, const std::vector<py::ssize_t>& shape, bool write, const std::string& what) {
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

struct RunRequest {
  py::sequence inputs, params;
  py::object state, istate;
  int64_t first_step, n_steps, batch;
  std::vector<bool> keep_last;
  int64_t callbacks;
  int threads;
  double time_limit;
};

void need_count(size_t came, size_t due, const char* what) {
  if (came != due)
    throw py::value_error(std::to_string(came) + " " + what + " given, the program has " + std::to_string(due));
}

template <class T>
void set_arrays(const Program& p, const RunRequest& q, RunArgs<T>* args, py::list* outputs) {
  need_count(q.inputs.size(), p.inputs.size(), "inputs");
  need_count(q.params.size(), p.params.size(), "params");
  need_count(q.keep_last.size(), p.outputs.size(), "values of keep_last");
  for (size_t i = 0; i < p.inputs.size(); ++i)
    args->inputs.push_back(data_of<T>(q.inputs[i], {q.batch, q.n_steps, p.inputs[i].size}, false,
                                      "inputs[" + std::to_string(i) + "] ('" + p.inputs[i].name + "')"));
  for (size_t i = 0; i < p.params.size(); ++i) {
    const Param& param = p.params[i];
    std::vector<py::ssize_t> shape = {param.size};
    if (param.learned) shape.insert(shape.begin(), q.batch);
    args->params.push_back(
        data_of<T>(q.params[i], shape, param.learned, "params[" + std::to_string(i) + "] ('" + param.name + "')"));
  }
  args->state = data_of<T>(q.state, {q.batch, p.state_size}, true, "state");
  args->istate = data_of<int32_t>(q.istate, {q.batch, p.istate_size}, true, "istate");
  const py::object zeros = py::module_::import("numpy").attr("zeros");
  for (size_t i = 0; i < p.outputs.size(); ++i) {
    const bool last = q.keep_last[i];
    // Zeros from the system cost nothing until they are written; rows that a stopped run never wrote stay zero.
    py::array_t<T> a = zeros(py::make_tuple(q.batch, last ? 1 : q.n_steps, p.outputs[i].size), py::dtype::of<T>());
    args->outputs.push_back(a.mutable_data());
    args->keep_last.push_back(last);
    outputs->append(std::move(a));
  }
}

template <class T>
py::tuple run(const Compiled& compiled, const RunRequest& q) {
  RunArgs<T> args;
  args.batch = q.batch, args.n_steps = q.n_steps, args.first_step = q.first_step;
  args.threads = q.threads, args.time_limit = q.time_limit;
  py::list outputs;
  set_arrays(compiled.program(), q, &args, &outputs);
  std::shared_ptr<Callbacks> callbacks = q.callbacks >= 0 ? find_callbacks(q.callbacks) : nullptr;
  args.callbacks = callbacks.get();
  RunResult result;
  {
    py::gil_scoped_release release;
    result = compiled.run(args);
  }
  py::object error = py::none();
  if (result.error) {
    try {
      std::rethrow_exception(result.error);
    } catch (const PythonError& e) {
      error = e.error();
    }
  }
  return py::make_tuple(outputs, result.steps, error);
}

py::tuple run_any(const Compiled& compiled, py::sequence inputs, py::sequence params, py::object state,
                  py::object istate, int64_t first_step, int64_t n_steps, int64_t batch, std::vector<bool> keep_last,
                  int64_t callbacks, int threads, double time_limit) {
  if (n_steps < 0 || batch < 1 || first_step < 0)
    throw py::value_error("first_step, n_steps and batch are " + std::to_string(first_step) + ", " +
                          std::to_string(n_steps) + " and " + std::to_string(batch) + "; due: at least 0, 0 and 1");
  const RunRequest q{inputs,    params,  state,     istate, first_step, n_steps, batch, std::move(keep_last),
                     callbacks, threads, time_limit};
  return compiled.program().float64 ? run<double>(compiled, q) : run<float>(compiled, q);
}

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

  py::class_<Compiled>(m, "Compiled", "A compiled program; any number of runs may use it at once.")
      .def(py::init([](const py::bytes& bytes) { return std::make_unique<Compiled>(std::string_view(bytes)); }),
           py::arg("bytes"))
      .def("run", &run_any, py::arg("inputs"), py::arg("params"), py::arg("state"), py::arg("istate"),
           py::arg("first_step"), py::arg("n_steps"), py::arg("batch"), py::arg("keep_last"), py::arg("callbacks") = -1,
           py::arg("threads") = 0, py::arg("time_limit") = 0.0,
           R"(Run for some steps; returns (outputs, steps, error).

Parameters
----------
inputs : sequence of arrays (batch, n_steps, size)
params : sequence of arrays (size,), or (batch, size) if learned: changed in place
state, istate : arrays (batch, state_size) and (batch, istate_size, int32), changed in place
first_step : int, steps done before
keep_last : sequence of bool, one per output: keep the last step only
callbacks : int, what add_callbacks returned
threads : int, 0 for as many as pay
time_limit : float, stop between steps after so many seconds; 0 for none

Returns
-------
outputs : list of arrays (batch, n_steps or 1, size); rows behind `steps` mean nothing
steps : int, steps done; state is that of this step
error : exception that a callback raised, or None
)");

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
