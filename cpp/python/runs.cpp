#include "python/runs.h"

#include <pybind11/stl.h>

#include <memory>
#include <optional>

#include "python/arrays.h"
#include "python/callbacks.h"
#include "python/gil.h"

namespace py = pybind11;

namespace nengo_dl {
namespace {

using Flags = std::optional<std::vector<bool>>;

// A tape and who may look at it.
struct PyTape {
  std::shared_ptr<Tape> tape;
  bool on_host;

  // Its memory as an array, while the tape lives.
  static py::array array(const py::object& self) {
    const PyTape& t = self.cast<const PyTape&>();
    if (!t.on_host) throw py::value_error("the values of this tape lie where only its backend can read them");
    return py::array(py::dtype::of<uint8_t>(), {t.tape->bytes}, {1}, t.tape->memory, self);
  }
};

// What a run and its gradient have in common.
struct RunRequest {
  py::tuple inputs, params;  // of their own: what is in them lives until the run is over
  py::object state, istate;
  int64_t first_step, n_steps, batch;
  std::vector<bool> keep_last;
  int64_t callbacks;
  int threads;
  py::object tape;  // or None
  int64_t memory;
  Flags wanted_params;
  bool tf32;
};

void check_counts(int64_t first_step, int64_t n_steps, int64_t batch) {
  if (n_steps < 0 || batch < 1 || first_step < 0)
    throw py::value_error("first_step, n_steps and batch: expected at least 0, 0 and 1, got " +
                          std::to_string(first_step) + ", " + std::to_string(n_steps) + " and " +
                          std::to_string(batch));
}

// One flag per port or parameter; None: `otherwise` for all.
std::vector<char> flags_of(const Flags& given, size_t expected, bool otherwise, const char* what) {
  if (!given) return std::vector<char>(expected, otherwise);
  need_count(given->size(), expected, what);
  return {given->begin(), given->end()};
}

TapeOptions options_of(const Program& p, int64_t memory, const Flags& wanted) {
  return {memory, flags_of(wanted, p.params.size(), true, "values of wanted_params")};
}

// `write`: the run changes learned parameters and the state in place.
template <class T>
RunArgs<T> run_args(const Compiled& compiled, const RunRequest& q, bool write) {
  const Program& p = compiled.program();
  check_counts(q.first_step, q.n_steps, q.batch);
  need_count(q.inputs.size(), p.inputs.size(), "inputs");
  need_count(q.params.size(), p.params.size(), "params");
  need_count(q.keep_last.size(), p.outputs.size(), "values of keep_last");
  RunArgs<T> args;
  args.batch = q.batch, args.n_steps = q.n_steps, args.first_step = q.first_step, args.threads = q.threads;
  for (size_t i = 0; i < p.inputs.size(); ++i)
    args.inputs.push_back(
        data_of<T>(q.inputs[i], {q.batch, q.n_steps, p.inputs[i].size}, false, {"inputs", i, p.inputs[i].name}));
  for (size_t i = 0; i < p.params.size(); ++i) {
    const Param& param = p.params[i];
    std::vector<py::ssize_t> shape = {param.size};
    if (param.learned) shape.insert(shape.begin(), q.batch);
    args.params.push_back(data_of<T>(q.params[i], shape, write && param.learned, {"params", i, param.name}));
  }
  args.state = data_of<T>(q.state, {q.batch, p.state_size}, write, "state");
  args.istate = data_of<int32_t>(q.istate, {q.batch, p.istate_size}, write, "istate");
  args.keep_last.assign(q.keep_last.begin(), q.keep_last.end());
  args.record = options_of(p, q.memory, q.wanted_params);
  args.tf32 = q.tf32;
  if (!q.tape.is_none() && !py::isinstance<PyTape>(q.tape))
    throw py::value_error("the tape: expected a Tape, as Compiled.tape() makes them, got a " +
                          std::string(py::str(py::type::of(q.tape).attr("__name__"))));
  if (!q.tape.is_none()) args.tape = q.tape.cast<const PyTape&>().tape.get();
  return args;
}

template <class T>
py::tuple run(const Compiled& compiled, const RunRequest& q, double time_limit) {
  RunArgs<T> args = run_args<T>(compiled, q, true);
  args.time_limit = time_limit;
  const Program& p = compiled.program();
  py::list outputs;
  for (size_t i = 0; i < p.outputs.size(); ++i) {
    py::array_t<T> a = zeros<T>({q.batch, q.keep_last[i] ? 1 : q.n_steps, p.outputs[i].size});
    args.outputs.push_back(a.mutable_data());
    outputs.append(std::move(a));
  }
  std::shared_ptr<Callbacks> callbacks = q.callbacks >= 0 ? find_callbacks(q.callbacks) : nullptr;
  args.callbacks = callbacks.get();
  RunResult result;
  {
    const GilReleased release;
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
                  int64_t callbacks, int threads, double time_limit, py::object tape, int64_t memory,
                  Flags wanted_params, bool tf32) {
  const RunRequest q{inputs,
                     params,
                     state,
                     istate,
                     first_step,
                     n_steps,
                     batch,
                     std::move(keep_last),
                     callbacks,
                     threads,
                     tape,
                     memory,
                     std::move(wanted_params),
                     tf32};
  return compiled.program().float64 ? run<double>(compiled, q, time_limit) : run<float>(compiled, q, time_limit);
}

struct GradRequest {
  RunRequest run;
  py::tuple output_grads;
  py::object learned_grads, state_out_grad;  // or None
  Flags want_inputs, want_params;
  bool want_state;
};

// Gradients that are asked for, as arrays to be filled; None for the others.
template <class T>
struct Results {
  py::list inputs, params;
  py::object state = py::none();

  T* add(py::list* list, bool wanted, const std::vector<py::ssize_t>& shape) {
    if (!wanted) {
      list->append(py::none());
      return nullptr;
    }
    py::array_t<T> a = zeros<T>(shape);
    list->append(a);
    return a.mutable_data();
  }
};

template <class T>
void set_given(const Program& p, const GradRequest& q, GradArgs<T>* args) {
  const int64_t batch = q.run.batch;
  need_count(q.output_grads.size(), p.outputs.size(), "output_grads");
  for (size_t i = 0; i < p.outputs.size(); ++i) {
    const py::object given = q.output_grads[i];
    args->output_grads.push_back(
        given.is_none() ? nullptr
                        : data_of<T>(given, {batch, q.run.keep_last[i] ? 1 : q.run.n_steps, p.outputs[i].size}, false,
                                     {"output_grads", i, p.outputs[i].name}));
  }
  args->learned_grads.assign(p.params.size(), nullptr);
  if (!q.learned_grads.is_none()) {
    const py::tuple given = q.learned_grads;
    need_count(given.size(), p.params.size(), "learned_grads");
    for (size_t i = 0; i < p.params.size(); ++i) {
      const py::object g = given[i];
      const Which what("learned_grads", i, p.params[i].name);
      if (g.is_none()) continue;
      if (!p.params[i].learned)
        throw py::value_error(what.text() + ": expected None, as no run changes this parameter, got a derivative");
      args->learned_grads[i] = data_of<T>(g, {batch, p.params[i].size}, false, what);
    }
  }
  if (!q.state_out_grad.is_none())
    args->state_out_grad = data_of<T>(q.state_out_grad, {batch, p.state_size}, false, "state_out_grad");
}

template <class T>
py::tuple grad(const Compiled& compiled, const GradRequest& q) {
  const Program& p = compiled.program();
  GradArgs<T> args;
  args.run = run_args<T>(compiled, q.run, false);
  args.tape = args.run.tape, args.run.tape = nullptr;
  set_given(p, q, &args);
  Results<T> results;
  const std::vector<char> inputs = flags_of(q.want_inputs, p.inputs.size(), true, "values of want_inputs");
  const std::vector<char> params = flags_of(q.want_params, p.params.size(), true, "values of want_params");
  for (size_t i = 0; i < p.inputs.size(); ++i)
    args.input_grads.push_back(results.add(&results.inputs, inputs[i], {q.run.batch, q.run.n_steps, p.inputs[i].size}));
  for (size_t i = 0; i < p.params.size(); ++i) {
    std::vector<py::ssize_t> shape = {p.params[i].size};
    if (p.params[i].learned) shape.insert(shape.begin(), q.run.batch);
    args.param_grads.push_back(results.add(&results.params, params[i], shape));
  }
  if (q.want_state) {
    py::array_t<T> state = zeros<T>({q.run.batch, p.state_size});
    args.state_grad = state.mutable_data();
    results.state = state;
  }
  std::shared_ptr<Callbacks> callbacks = q.run.callbacks >= 0 ? find_callbacks(q.run.callbacks) : nullptr;
  args.run.callbacks = callbacks.get();
  {
    const GilReleased release;
    compiled.grad(args);
  }
  return py::make_tuple(results.inputs, results.params, results.state);
}

py::tuple grad_any(const Compiled& compiled, py::sequence inputs, py::sequence params, py::object state,
                   py::object istate, int64_t first_step, int64_t n_steps, int64_t batch, std::vector<bool> keep_last,
                   py::sequence output_grads, py::object learned_grads, py::object state_out_grad, Flags want_inputs,
                   Flags want_params, bool want_state, py::object tape, int64_t memory, Flags wanted_params,
                   int64_t callbacks, int threads, bool tf32) {
  const GradRequest q{{inputs, params, state, istate, first_step, n_steps, batch, std::move(keep_last), callbacks,
                       threads, tape, memory, std::move(wanted_params), tf32},
                      output_grads,
                      learned_grads.is_none() ? learned_grads : py::tuple(learned_grads),
                      state_out_grad,
                      std::move(want_inputs),
                      std::move(want_params),
                      want_state};
  return compiled.program().float64 ? grad<double>(compiled, q) : grad<float>(compiled, q);
}

int64_t tape_bytes(const Compiled& compiled, int64_t batch, int64_t n_steps, int64_t memory, Flags wanted_params) {
  check_counts(0, n_steps, batch);
  return compiled.tape_bytes(batch, n_steps, options_of(compiled.program(), memory, wanted_params));
}

PyTape new_tape(const Compiled& compiled, int64_t batch, int64_t n_steps, int64_t memory, Flags wanted_params) {
  check_counts(0, n_steps, batch);
  return {compiled.new_tape(batch, n_steps, options_of(compiled.program(), memory, wanted_params)), compiled.on_host()};
}

constexpr char kRunDoc[] = R"(Run for some steps; returns (outputs, steps, error).

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
tape : Tape, where to record what the gradient needs, or None
memory : int, bytes that recorded values may take; -1 for no limit, 0 for only what is needed to run again
wanted_params : sequence of bool, whose gradients may be asked for; None for all
tf32 : bool, whether a GPU's products of float32 may round their factors to 10 bits

Returns
-------
outputs : list of arrays (batch, n_steps or 1, size); rows behind `steps` mean nothing
steps : int, steps done; state is that of this step
error : exception that a callback raised, or None
)";

constexpr char kGradDoc[] = R"(Differentiate a run; returns (input_grads, param_grads, state_grad).

Parameters
----------
inputs, params, state, istate, first_step, n_steps, batch, keep_last, callbacks, threads, tf32
    The run, with the values from before it; nothing of this is changed.
output_grads : sequence of arrays (batch, n_steps or 1, size) or None
    Derivatives of the loss by the outputs; None stands for zero, here and below.
learned_grads : sequence of arrays (batch, size) or None, by the learned parameters after the run
state_out_grad : array (batch, state_size), by the state after the run
want_inputs, want_params : sequences of bool, what is asked for; None for all
want_state : bool, whether the gradient by the state before the run is asked for
tape : Tape that the run recorded with the same `memory` and `wanted_params`; None to run it again

Returns
-------
input_grads : list of arrays (batch, n_steps, size), or None for what was not asked for
param_grads : list of arrays (size,), or (batch, size) if learned
state_grad : array (batch, state_size), or None
)";

}  // namespace

void define_runs(py::module_& m, py::class_<Compiled>& compiled) {
  py::class_<PyTape>(m, "Tape", "What a run records for its gradient.")
      .def_property_readonly(
          "nbytes", [](const PyTape& t) { return t.tape->bytes; }, "Its size.")
      .def_readonly("on_host", &PyTape::on_host, "Whether its memory can be read.")
      .def_property_readonly(
          "steps", [](const PyTape& t) { return t.tape->header.steps; }, "Steps that were recorded.")
      .def_property_readonly("memory", &PyTape::array,
                             "Its memory, an array of uint8; ValueError if only its backend can read it.");
  const py::arg_v tape("tape", py::none()), memory("memory", -1), wanted("wanted_params", py::none());
  const py::arg_v tf32("tf32", false);
  compiled
      .def("run", &run_any, py::arg("inputs"), py::arg("params"), py::arg("state"), py::arg("istate"),
           py::arg("first_step"), py::arg("n_steps"), py::arg("batch"), py::arg("keep_last"), py::arg("callbacks") = -1,
           py::arg("threads") = 0, py::arg("time_limit") = 0.0, tape, memory, wanted, tf32, kRunDoc)
      .def("tape_bytes", &tape_bytes, py::arg("batch"), py::arg("n_steps"), memory, wanted,
           "The size of the tape of a run in bytes; ProgramError if the program has no gradient.")
      .def("tape", &new_tape, py::arg("batch"), py::arg("n_steps"), memory, wanted,
           "A Tape on which such a run can be recorded; ProgramError if the program has no gradient.")
      .def("grad", &grad_any, py::arg("inputs"), py::arg("params"), py::arg("state"), py::arg("istate"),
           py::arg("first_step"), py::arg("n_steps"), py::arg("batch"), py::arg("keep_last"), py::arg("output_grads"),
           py::arg("learned_grads") = py::none(), py::arg("state_out_grad") = py::none(),
           py::arg("want_inputs") = py::none(), py::arg("want_params") = py::none(), py::arg("want_state") = true, tape,
           memory, wanted, py::arg("callbacks") = -1, py::arg("threads") = 0, tf32, kGradDoc);
}

}  // namespace nengo_dl
