// What the kernels of learning rules have in common (ops/learning.cpp).
#pragma once

#include <vector>

#include "engine/kernel.h"
#include "engine/op_util.h"
#include "kernels/learning.h"
#include "ops/util.h"

namespace nengo_dl {

template <class T>
struct LearningKernels {  // of the current instruction set
  void (*outer)(const LearningRow<T>&) = NDL_PICK_TYPED(T, outer_row);
  void (*oja)(const LearningRow<T>&) = NDL_PICK_TYPED(T, oja_row);
  void (*voja)(const LearningRow<T>&) = NDL_PICK_TYPED(T, voja_row);
  T (*dot)(const T*, const T*, int64_t) = NDL_PICK_TYPED(T, dot);
  void (*minus)(T*, const T*, T, const T*, int64_t) = NDL_PICK_TYPED(T, minus_row);
};

// What all rules have: operands and rates by their place in a list of names, and a loop over steps, items and blocks.
template <class T>
class Rule : public Kernel<T> {
 public:
  Rule(const OpRecord& op, const std::vector<const char*>& operands, const std::vector<const char*>& rates)
      : m_(op.arg("delta").shape[0]), n_(op.arg("delta").shape[1]), blocks_(op.blocks) {
    for (const char* name : operands) operands_.emplace_back(op.arg(name));
    for (const char* name : rates) rates_.push_back(op.per_block(name));
  }

  void run(const Frame<T>& f, int64_t t0, int64_t t1) const override { run_into(f, t0, t1, nullptr); }
  // Adds the change to the weights instead of writing delta, if there are some.
  void run_into(const Frame<T>& f, int64_t t0, int64_t t1, const View* weights) const {
    for (int64_t t = t0; t < t1; t++)
      for (int64_t b = 0; b < f.batch; b++)
        for (int64_t k = 0; k < blocks_; k++) block({*this, f, t, b, k, weights});
  }

 protected:
  // Operands at one step of one item, and rates.
  struct Block {
    const Rule& rule;
    const Frame<T>& frame;
    int64_t t, b, k;
    const View* weights;

    T* at(int operand) const {
      const View& o = rule.operands_[operand];
      return o.at(frame, t, b) + o.offsets[k];
    }
    Strided<const T> vector(int operand) const { return {at(operand), stride_of(rule.operands_[operand], 0)}; }
    Strided<T> row(int operand, int64_t i) const {
      const View& o = rule.operands_[operand];
      return {at(operand) + i * o.strides[0], o.strides[1]};
    }
    Strided<const T> read_row(int operand, int64_t i) const {
      const Strided<T> r = row(operand, i);
      return {r.p, r.stride};
    }
    // Where row i of the change is to be written, or added.
    Strided<T> change(int delta, int64_t i) const {
      if (!weights) return row(delta, i);
      return {weights->at(frame, t, b) + weights->offsets[k] + i * weights->strides[0], weights->strides[1]};
    }
    bool adds() const { return weights != nullptr; }
    T rate(int number) const { return static_cast<T>(rule.rates_[number][k]); }
  };

  virtual void block(const Block& at) const = 0;

  static T element(Strided<const T> v, int64_t i) { return v.p[i * v.stride]; }

  const LearningKernels<T> kernels_;
  const int64_t m_, n_;

 private:
  const int64_t blocks_;
  std::vector<View> operands_;
  std::vector<std::vector<double>> rates_;  // per block
};

// Whether an op's kernel is a Rule.
inline bool is_rule(const OpRecord& op) {
  for (const char* kind : {"pes", "bcm", "oja", "voja", "rls"})
    if (op.kind == kind) return true;
  return false;
}

}  // namespace nengo_dl
