#include "python/callbacks.h"

#include <cstring>

#include "engine/tiny_numbers.h"
#include "python/gil.h"
#include "python/node_function.h"

namespace py = pybind11;
using namespace pybind11::literals;

namespace nengo_dl {
namespace {

// "KeyError: 'name'"
std::string describe(const py::object& error) {
  std::string text = py::str(py::type::of(error).attr("__name__"));
  try {
    PyObject* const shown = or_stay([&] { return PyObject_Str(error.ptr()); });
    if (!shown) throw py::error_already_set();
    const std::string more = py::reinterpret_steal<py::str>(shown);
    if (!more.empty()) text += ": " + more;
  } catch (const py::error_already_set&) {  // its __str__ raised
    text += " (which can't be shown)";
  }
  return text;
}

}  // namespace

PythonError::PythonError(py::object error)
    : error_(new py::object(std::move(error)),
             [](py::object* e) {
               const GilHeld gil;
               delete e;
             }),
      text_(describe(*error_)) {}

PythonCallbacks::~PythonCallbacks() {
  const GilHeld gil;
  functions_.clear();
  spare_.clear();
  error_ = py::object();
}

py::object PythonCallbacks::take_error() {
  py::object error = error_ ? std::move(error_) : py::none();
  error_ = py::object();
  return error;
}

// A function may keep the arrays or tuples it was given; what it holds must not change under it.
bool PythonCallbacks::Arrays::shared() const {
  if (Py_REFCNT(in_tuple.ptr()) > 1 || Py_REFCNT(out_tuple.ptr()) > 1) return true;
  for (const auto* list : {&in, &out})
    for (const py::array& a : *list)
      if (Py_REFCNT(a.ptr()) > 2) return true;  // ours and the tuple's
  return false;
}

std::unique_ptr<PythonCallbacks::Arrays> PythonCallbacks::make_arrays(const CallbackSite& site) {
  auto arrays = std::make_unique<Arrays>();
  const py::dtype dtype = site.float64 ? py::dtype::of<double>() : py::dtype::of<float>();
  auto fill = [&](const std::vector<std::vector<int64_t>>& shapes, bool writeable, std::vector<py::array>* list,
                  std::vector<void*>* data, std::vector<size_t>* bytes) {
    py::tuple tuple(shapes.size());
    for (size_t i = 0; i < shapes.size(); ++i) {
      py::array a(dtype, std::vector<py::ssize_t>(shapes[i].begin(), shapes[i].end()));
      data->push_back(a.mutable_data());
      bytes->push_back(a.nbytes());
      std::memset(data->back(), 0, bytes->back());
      if (!writeable) py::detail::array_proxy(a.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
      tuple[i] = a;
      list->push_back(std::move(a));
    }
    return tuple;
  };
  arrays->in_tuple = fill(site.in_shapes, false, &arrays->in, &arrays->in_data, &arrays->in_bytes);
  arrays->out_tuple = fill(site.out_shapes, true, &arrays->out, &arrays->out_data, &arrays->out_bytes);
  return arrays;
}

PythonCallbacks::Spare* PythonCallbacks::spare_of(const CallbackSite& site) {
  auto it = spare_.find(std::tie(site.float64, site.in_shapes, site.out_shapes));
  if (it == spare_.end()) it = spare_.emplace(std::tie(site.float64, site.in_shapes, site.out_shapes), Spare()).first;
  return &it->second;
}

// Has arrays of its own while it lives: a function may run another simulation with the same table, or another thread
// may. All calls come from one thread, whose Python state is kept from call to call: so is what NumPy does about
// invalid values, which belongs to it.
class PythonCallbacks::Run : public CallbackRun {
 public:
  Run(PythonCallbacks* table, int64_t sites) : table_(table), slots_(sites) {}

  ~Run() override {
    take();
    if (floats_) leave_floats();
    for (Slot& slot : slots_)
      if (slot.arrays && !slot.arrays->shared()) slot.spare->push_back(std::move(slot.arrays));
    slots_.clear();
    or_stay([this] { PyGILState_Release(before_); });
  }

  void call(const CallbackSite& site, int64_t item, double time, const void* const* in, void* const* out) override {
    const Arithmetic arithmetic(TinyNumbers::kAreKept);
    const Gil gil(this);
    try {
      if (!floats_) enter_floats();
      Slot& slot = slots_[site.number];
      const Arrays& a = arrays_of(site, &slot);
      for (size_t i = 0; i < a.in.size(); ++i) std::memcpy(a.in_data[i], in[i], a.in_bytes[i]);
      if (slot.node && !slot.node->given()) {
        if (item > 0 && !slot.node->with_input()) return repeat(slot, out);
        if (slot.node->call(site, time, a.in.empty() ? nullptr : &a.in[0], a.out.empty() ? nullptr : out[0]))
          return remember(a, &slot, out);
      }
      for (size_t i = site.first_state; i < a.out.size(); ++i) std::memcpy(a.out_data[i], out[i], a.out_bytes[i]);
      const py::object& step = slot.node ? slot.node->step() : table_->functions_[site.index];
      call_python(step, item, time, a.in_tuple, a.out_tuple);
      for (size_t i = 0; i < a.out.size(); ++i) std::memcpy(out[i], a.out_data[i], a.out_bytes[i]);
      remember(a, &slot, out);
    } catch (py::error_already_set& e) {
      py::object error = e.value();
      if (e.trace()) PyException_SetTraceback(error.ptr(), e.trace().ptr());
      if (!table_->error_) table_->error_ = error;
      throw PythonError(error);
    }
  }

 private:
  struct Slot {
    Spare* spare = nullptr;
    std::unique_ptr<Arrays> arrays;
    const NodeFunction* node = nullptr;
    std::vector<char> of_first;  // what the first item got from a function that is called once for all
  };

  void take() {
    if (state_)
      or_stay([this] { PyEval_RestoreThread(state_); });
    else
      before_ = take_gil();
  }

  // Holds the GIL.
  class Gil {
   public:
    explicit Gil(Run* run) : run_(run) { run->take(); }
    ~Gil() { run_->state_ = PyEval_SaveThread(); }

   private:
    Run* run_;
  };

  static void remember(const Arrays& a, Slot* slot, void* const* out) {
    if (!slot->node || slot->node->with_input() || a.out.empty()) return;
    const char* values = static_cast<const char*>(out[0]);
    slot->of_first.assign(values, values + a.out_bytes[0]);
  }
  static void repeat(const Slot& slot, void* const* out) {
    if (!slot.of_first.empty()) std::memcpy(out[0], slot.of_first.data(), slot.of_first.size());
  }

  // As Nengo does around its steps.
  void enter_floats() {
    static PyObject* const errstate = [] {
      const py::object partial = py::module_::import("functools").attr("partial");
      const py::object type = py::module_::import("numpy").attr("errstate");
      return partial(type, "invalid"_a = "raise", "divide"_a = "ignore").release().ptr();
    }();
    floats_ = call_python(errstate);
    call_python(floats_.attr("__enter__"));
  }
  void leave_floats() {
    try {
      call_python(floats_.attr("__exit__"), py::none(), py::none(), py::none());
    } catch (py::error_already_set& e) {
      e.discard_as_unraisable("numpy.errstate");
    }
    floats_ = py::object();
  }

  static const NodeFunction* node_of(const CallbackSite& site, const py::object& function) {
    const NodeFunction* node = &function.cast<const NodeFunction&>();
    const size_t ins = site.in_shapes.size(), outs = site.out_shapes.size();
    if (ins > 1 || outs > 1 || site.first_state != outs || (node->with_input() && ins != 1))
      throw py::value_error("callback '" + site.name +
                            "': expected at most one input, one output and no state for the" +
                            " function of a Node, got " + std::to_string(ins) + " inputs, " + std::to_string(outs) +
                            " outputs and states");
    return node;
  }

  const Arrays& arrays_of(const CallbackSite& site, Slot* slot) {
    if (slot->arrays && !slot->arrays->shared()) return *slot->arrays;
    if (!slot->spare) {
      slot->spare = table_->spare_of(site);
      const py::object& function = table_->functions_.at(site.index);
      if (py::isinstance<NodeFunction>(function)) slot->node = node_of(site, function);
    }
    if (slot->spare->empty()) {
      slot->arrays = make_arrays(site);
      return *slot->arrays;
    }
    slot->arrays = std::move(slot->spare->back());
    slot->spare->pop_back();
    for (size_t i = 0; i < slot->arrays->out.size(); ++i)  // may hold what another site's function wrote
      std::memset(slot->arrays->out_data[i], 0, slot->arrays->out_bytes[i]);
    return *slot->arrays;
  }

  PythonCallbacks* table_;
  std::vector<Slot> slots_;         // per site, filled at its first call
  PyThreadState* state_ = nullptr;  // of the thread that calls, between its calls
  PyGILState_STATE before_{};
  py::object floats_;
};

std::unique_ptr<CallbackRun> PythonCallbacks::start(int64_t sites) { return std::make_unique<Run>(this, sites); }

}  // namespace nengo_dl
