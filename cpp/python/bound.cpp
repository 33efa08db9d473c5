// Runs of bound programs from Python, without a call of TensorFlow.
#include "engine/bound.h"

#include <algorithm>

#include "python/arrays.h"
#include "python/gil.h"
#include "python/runs.h"

namespace py = pybind11;

namespace nengo_dl {
namespace {

std::string message_of(const std::exception_ptr& error) {
  if (!error) return "";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  }
}

class PyBound {
 public:
  explicit PyBound(int64_t number) : bound_(take_over(number)) {}

  int64_t steps_done() const {
    const GilReleased release;  // a run in another thread may have the variable
    return bound_->steps_done();
  }

  py::tuple run(const py::sequence& inputs, int64_t n_steps, double time_limit, const py::object& kept_steps) const {
    BoundArgs args;
    args.n_steps = n_steps, args.time_limit = time_limit;
    const std::vector<std::vector<int64_t>> lists = kept_of(kept_steps, n_steps, &args);
    return run_any(inputs, &args);
  }

  py::tuple run_items(const py::sequence& inputs, int64_t n_steps, int64_t items, bool keep_state) const {
    if (items < 1 || items > bound_->batch())
      throw py::value_error("items: expected 1 to " + std::to_string(bound_->batch()) + ", got " +
                            std::to_string(items));
    BoundArgs args;
    args.n_steps = n_steps, args.keep_state = keep_state, args.whole = true;
    args.items = items == bound_->batch() ? 0 : items;
    return run_any(inputs, &args);
  }

 private:
  // What `args->kept_steps` points to.
  std::vector<std::vector<int64_t>> kept_of(const py::object& given, int64_t n_steps, BoundArgs* args) const {
    if (given.is_none()) return {};
    const py::sequence lists(given);
    const std::vector<Port>& outputs = bound_->program().outputs;
    need_count(lists.size(), outputs.size(), "lists of kept_steps");
    std::vector<std::vector<int64_t>> kept(outputs.size());
    args->kept_steps.resize(outputs.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      const py::object list = lists[i];
      if (list.is_none()) continue;
      const Which which{"kept_steps", i, outputs[i].name};
      const py::ssize_t count = py::isinstance<py::array>(list) ? py::array(list).size() : 0;
      const int64_t* const steps = data_of<int64_t>(list, {count}, false, which);
      kept[i].assign(steps, steps + count);
      int64_t least = 0;
      for (int64_t step : kept[i]) {
        if (step < least || step >= n_steps)
          throw py::value_error(which.text() + ": expected steps of 0 to " + std::to_string(n_steps - 1) +
                                ", in order and each once, got " + std::to_string(step));
        least = step + 1;
      }
      args->kept_steps[i] = &kept[i];
    }
    return kept;
  }

  int64_t rows_of(const BoundArgs& args, size_t output) const {
    if (!args.kept_steps.empty() && args.kept_steps[output])
      return static_cast<int64_t>(args.kept_steps[output]->size());
    return bound_->keep_last()[output] ? 1 : args.n_steps;
  }

  py::tuple run_any(const py::sequence& inputs, BoundArgs* args) const {
    const py::tuple held(inputs);  // until the run is over
    return bound_->program().float64 ? run_as<double>(held, *args) : run_as<float>(held, *args);
  }

  template <class T>
  py::tuple run_as(const py::tuple& inputs, BoundArgs& args) const {
    const Program& p = bound_->program();
    const int64_t n_steps = args.n_steps;
    if (n_steps < 0 || !(args.time_limit >= 0))
      throw py::value_error("n_steps and time_limit: expected 0 or more, got " + std::to_string(n_steps) + " and " +
                            std::to_string(args.time_limit));
    need_count(inputs.size(), p.inputs.size(), "inputs");
    for (size_t i = 0; i < p.inputs.size(); ++i) {
      const py::object rows = inputs[i];
      args.inputs.push_back(
          data_of<T>(rows, {bound_->batch(), n_steps, p.inputs[i].size}, false, {"inputs", i, p.inputs[i].name}));
    }
    py::tuple outputs(p.outputs.size());
    for (size_t i = 0; i < p.outputs.size(); ++i) {
      py::array_t<T> a(std::vector<py::ssize_t>{bound_->batch(), rows_of(args, i), p.outputs[i].size});
      args.outputs.push_back(a.mutable_data());
      outputs[i] = std::move(a);
    }
    BoundResult result;
    {
      const GilReleased release;
      result = bound_->run(args);
      for (size_t i = 0; i < args.outputs.size(); ++i) clear_after<T>(result.steps, i, args);
    }
    return py::make_tuple(outputs, result.first_step, result.steps, message_of(result.error));
  }

  // Rows that no step has written are zero, not what the memory held before.
  template <class T>
  void clear_after(int64_t steps, size_t output, const BoundArgs& args) const {
    const int64_t rows = rows_of(args, output);
    int64_t written = bound_->keep_last()[output] ? std::min<int64_t>(steps, 1) : steps;
    if (const auto* kept = args.kept_steps.empty() ? nullptr : args.kept_steps[output])
      written = std::lower_bound(kept->begin(), kept->end(), steps) - kept->begin();
    const int64_t size = bound_->program().outputs[output].size;
    if (written == rows) return;
    T* values = static_cast<T*>(args.outputs[output]);
    for (int64_t b = 0; b < bound_->batch(); ++b)
      std::fill(values + (b * rows + written) * size, values + (b + 1) * rows * size, T(0));
  }

  std::shared_ptr<const BoundProgram> bound_;
};

constexpr char kBoundDoc[] = R"(A program that the op NengoDL>Bind has bound to variables.

Parameters
----------
number : int, what the op returned; it can be taken over once
)";

constexpr char kRunDoc[] = R"(Run on from the state that the variables hold, and leave the new one there.

Parameters
----------
inputs : sequence of arrays (batch, n_steps, size)
n_steps : int
time_limit : float, stop between steps after so many seconds; 0 for none
kept_steps : sequence of None or int64 array (rows,), one per output, or None for None each: the steps that have rows,
    in order, counted from the first of this run; on the CPU only

Returns
-------
outputs : tuple of arrays (batch, n_steps or 1 or rows, size); rows that no step has written are zero
first_step : int, steps done before
steps : int, steps done now
error : str, what the callback that stopped the run said, or empty
)";

constexpr char kItemsDoc[] = R"(Run a minibatch as Keras does: all steps, or nothing stays.

Parameters
----------
inputs : sequence of arrays (batch, n_steps, size)
n_steps : int
items : int, of how many of the first items state and learned parameters stay
keep_state : bool, whether the state stays at all

Returns
-------
outputs, first_step, steps, error
    As of `run`.
)";

}  // namespace

void define_bound(py::module_& m) {
  py::class_<PyBound>(m, "Bound", kBoundDoc)
      .def(py::init<int64_t>(), py::arg("number"))
      .def("run", &PyBound::run, py::arg("inputs"), py::arg("n_steps"), py::arg("time_limit"),
           py::arg("kept_steps") = py::none(), kRunDoc)
      .def("run_items", &PyBound::run_items, py::arg("inputs"), py::arg("n_steps"), py::arg("items"),
           py::arg("keep_state"), kItemsDoc)
      .def_property_readonly("steps_done", &PyBound::steps_done, "Steps done, as the variable has it.");
}

}  // namespace nengo_dl
