// Python functions, called once per item and step.
#include "engine/backend.h"
#include "engine/kind.h"
#include "engine/op_util.h"

namespace nengo_dl {
namespace {

std::vector<const Operand*> numbered(const OpRecord& op, const std::string& stem) {
  std::vector<const Operand*> found;
  while (const Operand* o = op.find_arg(stem + std::to_string(found.size()))) found.push_back(o);
  return found;
}

// An operand that Python sees as a contiguous array: in place if it is one, else by way of `scratch`.
struct PythonArray {
  View operand;
  bool in_place;
  int64_t count, scratch;
};

template <class T>
class CallbackKernel : public Kernel<T> {
 public:
  CallbackKernel(const OpRecord& op, const Program& p) {
    site_.number = op.site, site_.index = op.integer("index"), site_.name = op.name, site_.float64 = p.float64;
    if (const Operand* t = op.find_arg("t")) time_.emplace_back(*t);
    for (const Operand* o : numbered(op, "in")) add(*o, &in_, &site_.in_shapes);
    for (const Operand* o : numbered(op, "out")) add(*o, &out_, &site_.out_shapes);
    site_.first_state = out_.size();
    for (const Operand* o : numbered(op, "state")) add(*o, &out_, &site_.out_shapes);
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    std::vector<T> scratch(scratch_);
    std::vector<const void*> in(in_.size());
    std::vector<void*> out(out_.size());
    for (int64_t t = t0; t < t1; ++t)
      for (int64_t b = 0; b < f.batch; ++b) call(f, t, b, scratch.data(), in.data(), out.data());
  }

 private:
  void add(const Operand& o, std::vector<PythonArray>* list, std::vector<std::vector<int64_t>>* shapes) {
    PythonArray h{View(o), is_contiguous(o), o.count(), scratch_};
    if (!h.in_place) scratch_ += h.count;
    list->push_back(h);
    shapes->push_back(o.shape);
  }

  void call(const Frame<T>& f, int64_t t, int64_t b, T* scratch, const void** in, void** out) const {
    for (size_t i = 0; i < in_.size(); ++i) in[i] = hand(f, t, b, in_[i], scratch, true);
    for (size_t i = 0; i < out_.size(); ++i) {
      const bool state = i >= site_.first_state;
      if (state) advance(f, out_[i].operand, t, b);
      out[i] = hand(f, t, b, out_[i], scratch, state);
    }
    // exact also in single precision: a function that compares times decides as in nengo.Simulator
    const double time = time_.empty() ? static_cast<double>(f.first_step + t + 1) * f.dt
                                      : static_cast<double>(*(time_[0].at(f, t, b) + time_[0].offsets[0]));
    f.calls->call(site_, f.first_item + b, time, in, out);
    for (const PythonArray& h : out_)
      if (!h.in_place) scatter(scratch + h.scratch, h.operand.at(f, t, b) + h.operand.offsets[0], h.operand);
  }

  static T* hand(const Frame<T>& f, int64_t t, int64_t b, const PythonArray& h, T* scratch, bool with_value) {
    T* p = h.operand.at(f, t, b) + h.operand.offsets[0];
    if (h.in_place) return p;
    if (with_value) gather(p, h.operand, scratch + h.scratch);
    return scratch + h.scratch;
  }

  CallbackSite site_;
  std::vector<View> time_;  // none or one
  std::vector<PythonArray> in_, out_;
  int64_t scratch_ = 0;
};

void check(const OpRecord& op, const Program&) {
  const int64_t index = op.integer("index");
  if (index < 0 || index > INT32_MAX)
    op.fail("attribute 'index': expected 0 to 2^31 - 1, got " + std::to_string(index));
}

Kind kind() {
  Kind k{"callback",
         {{"t", Access::read, 0, true},
          {"in*", Access::read, -1, true},
          {"out*", Access::write, -1, true},
          {"state*", Access::update, -1, true}},
         {{"index", AttrType::integer}}};
  k.merges = k.slices = false;
  k.edge = Edge::python;
  k.check = check;
  return k;
}

const KindRegistration callback(kind());
const CpuKernel<CallbackKernel> kernel("callback");

}  // namespace
}  // namespace nengo_dl
