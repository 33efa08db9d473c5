// What connects a program with the outside: time, model inputs, model outputs.
#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/backend.h"
#include "engine/kind.h"
#include "engine/op_util.h"
#include "ops/adjoint.h"

namespace nengo_dl {
namespace {

int64_t port_index(const OpRecord& op, const std::vector<Port>& ports, const char* arg) {
  const int64_t index = op.integer("index"), count = ports.size(), size = op.arg(arg).count();
  if (index < 0 || index >= count)
    op.fail("attribute 'index': expected the number of one of " + std::to_string(count) + ", got " +
            std::to_string(index));
  if (ports[index].size != size)
    op.fail("argument '" + std::string(arg) + "': expected " + std::to_string(ports[index].size) + " elements, as '" +
            ports[index].name + "' has, got " + std::to_string(size));
  return index;
}

// ---------------------------------------------------------------- time

template <class T>
class TimeKernel : public Kernel<T> {
 public:
  TimeKernel(const OpRecord& op, const Program&)
      : time_(op.arg("time")), step_(op.find_arg("step") ? op.arg("step") : op.arg("time")) {
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
  View time_, step_;
  bool has_step_ = false;
};

Kind time_kind() {
  Kind k{"time", {{"time", Access::write, 0}, {"step", Access::write, 0, true}}};
  k.merges = k.slices = false;
  return k;
}

const KindRegistration time_registration(time_kind());
const CpuKernel<TimeKernel> time_kernel("time");

// ---------------------------------------------------------------- input

template <class T>
class InputKernel : public Kernel<T> {
 public:
  InputKernel(const OpRecord& op, const Program& p) : dst_(op.arg("dst")), index_(port_index(op, p.inputs, "dst")) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const int64_t n = dst_.shape[0], stride = dst_.strides[0];
    for (int64_t b = 0; b < f.batch; ++b) {
      const T* src = f.inputs[index_] + (b * f.input_steps[index_] + f.offset + t0) * n;
      for (int64_t t = t0; t < t1; ++t, src += n) {
        T* dst = dst_.at(f, t, b) + dst_.offsets[0];
        if (stride == 1)
          std::memcpy(dst, src, n * sizeof(T));
        else
          for (int64_t i = 0; i < n; ++i) dst[i * stride] = src[i];
      }
    }
  }

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
  View dst_;
  int64_t index_;
};

Kind port_kind(const char* name, ArgSpec arg, Edge edge) {
  Kind k{name, {std::move(arg)}, {{"index", AttrType::integer}}};
  k.merges = k.slices = false;
  k.gradient = Gradient::exact;
  k.edge = edge;
  return k;
}

Kind input_kind() {
  Kind k = port_kind("input", {"dst", Access::write, 1}, Edge::input);
  k.check = [](const OpRecord& op, const Program& p) { port_index(op, p.inputs, "dst"); };
  return k;
}

const KindRegistration input(input_kind());
const CpuKernel<InputKernel> input_kernel("input");

// ---------------------------------------------------------------- output

template <class T>
class OutputKernel : public Kernel<T> {
 public:
  OutputKernel(const OpRecord& op, const Program& p)
      : src_(op.arg("src")),
        shared_(in_param(op.arg("src"), p)),
        index_(port_index(op, p.outputs, "src")),
        count_(op.arg("src").count()),
        flat_(is_contiguous(src_)) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const int64_t rows = f.output_steps[index_];
    if (const std::vector<int64_t>* steps = f.kept_steps ? f.kept_steps[index_] : nullptr) {
      const auto first = std::lower_bound(steps->begin(), steps->end(), f.offset + t0);
      const auto last = std::lower_bound(first, steps->end(), f.offset + t1);
      for (auto step = first; step != last; ++step) {
        const int64_t t = *step - f.offset;
        copy(f, t, t + 1, rows, step - steps->begin());
      }
    } else if (rows == 1) {
      if (t1 == f.steps) copy(f, t1 - 1, t1, 1, 0);  // a run ends with a window
    } else {
      copy(f, t0, t1, rows, f.offset + t0);
    }
  }

  void grad(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (!shared_) back(f, t0, t1);
  }
  void grad_params(const GradFrame<T>& f, int64_t t0, int64_t t1) const override {
    if (shared_) back(f, t0, t1);
  }

 private:
  // Of the `rows` that each item has, those from `row` on become its steps from t0 to t1.
  void copy(const Frame<T>& f, int64_t t0, int64_t t1, int64_t rows, int64_t row) const {
    for (int64_t b = 0; b < f.batch; ++b) {
      T* dst = f.outputs[index_] + (b * rows + row) * count_;
      for (int64_t t = t0; t < t1; ++t, dst += count_) {
        const T* src = src_.at(f, t, b) + src_.offsets[0];
        if (flat_)
          std::memcpy(dst, src, count_ * sizeof(T));
        else
          gather(src, src_, dst);
      }
    }
  }

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
        for_each_element(src_, [&](int64_t e) { to[e] += *from++; });
      }
    }
  }

  View src_;
  bool shared_;  // src is in a param buffer
  int64_t index_, count_;
  bool flat_;
};

Kind output_kind() {
  Kind k = port_kind("output", {"src", Access::read}, Edge::output);
  k.check = [](const OpRecord& op, const Program& p) { port_index(op, p.outputs, "src"); };
  return k;
}

const KindRegistration output(output_kind());
const CpuKernel<OutputKernel> output_kernel("output");

}  // namespace
}  // namespace nengo_dl
