// What connects a program with the outside: time, model inputs, model outputs.
#include "engine/op_util.h"
#include "ops/adjoint.h"
#include "ops/rows.h"

namespace nengo_dl {
namespace {

int64_t port_index(const OpRecord& op, const std::vector<Port>& ports, const char* arg) {
  one_block(op);
  const int64_t index = op.integer("index"), count = ports.size(), size = op.arg(arg).count();
  if (index < 0 || index >= count)
    op.fail("attribute 'index' is " + std::to_string(index) + ", the program has " + std::to_string(count));
  if (ports[index].size != size)
    op.fail("'" + std::string(arg) + "' has " + std::to_string(size) + " elements, '" + ports[index].name + "' has " +
            std::to_string(ports[index].size));
  return index;
}

// ---------------------------------------------------------------- time

template <class T>
class TimeOp : public Op<T> {
 public:
  TimeOp(const OpRecord& op, const Program&)
      : time_(op.arg("time")), step_(op.find_arg("step") ? op.arg("step") : op.arg("time")) {
    one_block(op);
    has_step_ = op.find_arg("step") != nullptr;
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    for (int64_t t = t0; t < t1; ++t) {
      const double n = static_cast<double>(f.first_step + t + 1);
      const T time = static_cast<T>(n * f.dt);  // as Nengo: the product in double precision, then rounded
      for (int64_t b = 0; b < f.batch; ++b) {
        time_.at(f, t, b)[time_.offsets[0]] = time;
        if (has_step_) step_.at(f, t, b)[step_.offsets[0]] = static_cast<T>(n);
      }
    }
  }

 private:
  Access1 time_, step_;
  bool has_step_ = false;
};

OpRegistration time_op(make_spec<TimeOp>("time", {{"time", Access::write, 0}, {"step", Access::write, 0, true}}, {},
                                         [](const OpRecord& op, const Program&) { one_block(op); }));

// ---------------------------------------------------------------- input

template <class T>
class InputOp : public Op<T> {
 public:
  InputOp(const OpRecord& op, const Program& p) : dst_(op.arg("dst")), index_(port_index(op, p.inputs, "dst")) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const int64_t n = dst_.shape[0], stride = dst_.strides[0];
    for (int64_t b = 0; b < f.batch; ++b) {
      const T* src = f.inputs[index_] + (b * f.input_steps[index_] + f.offset + t0) * n;
      for (int64_t t = t0; t < t1; ++t, src += n) {
        T* dst = dst_.at(f, t, b) + dst_.offsets[0];
        for (int64_t i = 0; i < n; ++i) dst[i * stride] = src[i];
      }
    }
  }

  bool passes_gradient() const override { return true; }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    T* rows = f.input_grads[index_];
    if (!rows || !f.adjoint.base[dst_.buffer]) return;
    const int64_t n = dst_.shape[0], stride = dst_.strides[0];
    for (int64_t b = 0; b < f.adjoint.batch; ++b)
      for (int64_t t = t0; t < t1; ++t) {
        T* to = rows + (b * f.value.input_steps[index_] + f.value.offset + t) * n;
        const T* from = dst_.at(f.adjoint, t, b) + dst_.offsets[0];
        for (int64_t i = 0; i < n; ++i) to[i] += from[i * stride];
      }
  }

 private:
  Access1 dst_;
  int64_t index_;
};

OpRegistration input(make_spec<InputOp>("input", {{"dst", Access::write, 1}}, {"index"},
                                        [](const OpRecord& op, const Program& p) { port_index(op, p.inputs, "dst"); }));

// ---------------------------------------------------------------- output

template <class T>
class OutputOp : public Op<T> {
 public:
  OutputOp(const OpRecord& op, const Program& p)
      : src_(op.arg("src")),
        shared_(in_param(op.arg("src"), p)),
        index_(port_index(op, p.outputs, "src")),
        count_(op.arg("src").count()),
        flat_(is_contiguous(src_)) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const bool last_only = f.output_steps[index_] == 1;  // each later step overwrites the one row there is
    const int64_t first = last_only ? t1 - 1 : t0;
    for (int64_t b = 0; b < f.batch; ++b) {
      T* dst = f.outputs[index_] + (b * f.output_steps[index_] + (last_only ? 0 : f.offset + first)) * count_;
      for (int64_t t = first; t < t1; ++t, dst += count_) {
        const T* src = src_.at(f, t, b) + src_.offsets[0];
        if (flat_)
          std::memcpy(dst, src, count_ * sizeof(T));
        else
          gather(src, src_.shape, src_.strides, dst);
      }
    }
  }

  bool passes_gradient() const override { return true; }
  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (!shared_) back(f, t0, t1);
  }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (shared_) back(f, t0, t1);
  }

 private:
  // The engine leaves out the steps of which no row is kept.
  void back(const GradFrame<T>& f, int64_t t0, int64_t t1) const {
    const T* rows = f.output_grads[index_];
    if (!rows || !f.adjoint.base[src_.buffer]) return;
    const int64_t kept = f.value.output_steps[index_];
    const bool last_only = kept == 1;
    for (int64_t t = t0; t < t1; ++t) {
      for (int64_t b = 0; b < f.adjoint.batch; ++b) {
        const T* from = rows + (b * kept + (last_only ? 0 : f.value.offset + t)) * count_;
        T* to = src_.at(f.adjoint, t, b) + src_.offsets[0];
        for_each_element(src_.shape, src_.strides, [&](int64_t e) { to[e] += *from++; });
      }
    }
  }

  Access1 src_;
  bool shared_;  // src is in a param buffer
  int64_t index_, count_;
  bool flat_;
};

OpRegistration output(make_spec<OutputOp>("output", {{"src", Access::read, -1}}, {"index"},
                                          [](const OpRecord& op, const Program& p) {
                                            port_index(op, p.outputs, "src");
                                          }));

}  // namespace
}  // namespace nengo_dl
