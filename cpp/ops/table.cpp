// `table`: a row of a table, chosen by the time (WhiteSignal, PresentInput, Piecewise).
#include "ops/timetable.h"

#include <algorithm>

#include "engine/backend.h"
#include "engine/kind.h"
#include "ops/util.h"

namespace nengo_dl {
namespace {

void check(const OpRecord& op, const Program&) {
  const int64_t n = op.arg("dst").count(), rows = op.arg("table").shape[0];
  need_shape(op, "dst", {n});
  need_shape(op, "table", {rows, n});
  using Mode = TableRow::Mode;
  const Mode mode = TableRow::mode_of(op);
  if (mode == Mode::present && !(op.number("period") > 0 && std::isfinite(op.number("period"))))
    op.fail("attribute 'period': expected a positive number, got " + std::to_string(op.number("period")));
  if (mode != Mode::piecewise) return;
  const std::vector<double>& times = op.numbers("times");
  if (times.size() != static_cast<size_t>(rows))
    op.fail("attribute 'times': expected " + std::to_string(rows) + " values (one per row), got " +
            std::to_string(times.size()));
  for (size_t i = 0; i < times.size(); i++)
    if (std::isnan(times[i]) || (i > 0 && times[i] < times[i - 1])) op.fail("attribute 'times' is not ascending");
}

template <class T>
class TableKernel : public Kernel<T> {
 public:
  TableKernel(const OpRecord& op, const Program& program)
      : table_(op.arg("table")), dst_(op.arg("dst")), n_(op.arg("dst").count()), set_(op.set()), row_(op, program) {
    if (row_.mode == TableRow::Mode::piecewise) row_.times = op.numbers("times").data();
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override {
    const int64_t from = stride_of(table_, 1), to = stride_of(dst_, 0);
    for (int64_t t = t0; t < t1; t++) {
      const int64_t row = row_.at(f.first_step + t + 1);
      for (int64_t b = 0; b < f.batch; b++)
        for (int64_t k = 0; k < dst_.blocks; k++) {
          T* dst = dst_.at(f, t, b) + dst_.offsets[k];
          const T* src = table_.at(f, t, b) + table_.offsets[k] + std::max<int64_t>(row, 0) * table_.strides[0];
          for (int64_t i = 0; i < n_; i++) {
            const T value = row < 0 ? T(0) : src[i * from];
            dst[i * to] = set_ ? value : dst[i * to] + value;
          }
        }
    }
  }

 private:
  View table_, dst_;
  int64_t n_;
  bool set_;
  TableRow row_;
};

Kind kind() {
  Kind k{"table", {{"table", Access::read, 2}, {"dst", Access::inc}}};
  k.attrs = {kSet,
             {"mode", AttrType::text},
             {"period", AttrType::number, false, true},
             {"times", AttrType::numbers, false, true}};
  k.settable = "dst";
  k.merges = false;
  k.check = check;
  return k;
}

const KindRegistration table(kind());
const CpuKernel<TableKernel> kernel("table");

}  // namespace
}  // namespace nengo_dl
