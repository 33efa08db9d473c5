// `interpolate`: a straight line between the rows of a table about the time (Piecewise with linear interpolation).
#include "ops/timetable.h"

#include <cmath>

#include "engine/backend.h"
#include "engine/kind.h"
#include "ops/util.h"

namespace nengo_dl {
namespace {

void check(const OpRecord& op, const Program&) {
  const int64_t n = op.arg("dst").count(), rows = op.arg("table").shape[0];
  need_shape(op, "dst", {n});
  need_shape(op, "table", {rows, n});
  const std::vector<double>& times = op.numbers("times");
  if (rows < 2 || times.size() != static_cast<size_t>(rows))
    op.fail("attribute 'times': expected a value for each of at least two rows, got " + std::to_string(times.size()) +
            " for " + std::to_string(rows) + " rows");
  for (size_t i = 0; i < times.size(); i++)
    if (!std::isfinite(times[i]) || (i > 0 && times[i] <= times[i - 1]))
      op.fail("attribute 'times': expected finite numbers that rise, got " + std::to_string(times[i]) + " at " +
              std::to_string(i));
}

template <class T>
class InterpolateKernel : public Kernel<T> {
 public:
  InterpolateKernel(const OpRecord& op, const Program& program)
      : table_(op.arg("table")),
        dst_(op.arg("dst")),
        n_(op.arg("dst").count()),
        set_(op.set()),
        dt_(program.dt),
        times_(op.numbers("times")) {}

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    for (int64_t t = t0; t < t1; t++) {
      const double time = static_cast<double>(f.first_step + t + 1) * dt_;
      const TableLine line(times_.data(), static_cast<int64_t>(times_.size()), time);
      for (int64_t b = 0; b < f.batch; b++)
        for (int64_t k = 0; k < dst_.blocks; k++) {
          T* dst = dst_.at(f, t, b) + dst_.offsets[k];
          const T* src = table_.at(f, t, b) + table_.offsets[k] + line.row * table_.strides[0];
          for (int64_t i = 0; i < n_; i++) {
            const T value = line.inside ? between(line, src + i * stride_of(table_, 1)) : T(0);
            T& to = dst[i * stride_of(dst_, 0)];
            to = set_ ? value : to + value;
          }
        }
    }
  }

 private:
  // `low` points to the element of the first of the two rows.
  T between(const TableLine& line, const T* low) const {
    return static_cast<T>(line.between(times_.data(), low[0], low[table_.strides[0]]));
  }

  View table_, dst_;
  int64_t n_;
  bool set_;
  double dt_;
  std::vector<double> times_;
};

Kind kind() {
  Kind k{"interpolate", {{"table", Access::read, 2}, {"dst", Access::inc}}};
  k.attrs = {kSet, {"times", AttrType::numbers}};
  k.settable = "dst";
  k.merges = false;
  k.check = check;
  return k;
}

const KindRegistration interpolate(kind());
const CpuKernel<InterpolateKernel> kernel("interpolate");

}  // namespace
}  // namespace nengo_dl
