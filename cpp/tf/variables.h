// The variables of a bound program: those that it reads, and those that a run changes.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/program.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/framework/tensor.h"

namespace nengo_dl {

// A variable and what it has to hold.
struct BoundVar {
  tensorflow::core::RefCountPtr<tensorflow::Var> var;
  std::string name;
  tensorflow::DataType dtype;
  int64_t items;     // the first of several axes, of which the others are free; 0: it has no items
  int64_t elements;  // all of them
};

// The present value of a variable, which a later assignment leaves as it is. Errors say what does not fit.
absl::Status read(const BoundVar& var, tensorflow::Tensor* value);

// The variables that a run changes. A program without callbacks works in their memory and locks them meanwhile. Python
// functions may read the variables themselves, so with callbacks it works on copies, which become the values at the
// end. What does not stay is a copy in any case.
class WrittenVars {
 public:
  // `items`: of how many items the values stay; 0: of all.
  WrittenVars(bool on_copies, int64_t items) : on_copies_(on_copies), items_(items) {}
  ~WrittenVars() { unlock(); }
  WrittenVars(const WrittenVars&) = delete;
  WrittenVars& operator=(const WrittenVars&) = delete;

  void add(const BoundVar& var, bool stays) { vars_.push_back({&var, stays, {}}); }
  absl::Status lock();  // and check
  void own();           // memory that nobody else looks at, with the values of the variables
  tensorflow::Tensor& owned(size_t i) { return vars_[i].tensor; }
  void commit();

 private:
  struct Written {
    const BoundVar* var;
    bool stays;
    tensorflow::Tensor tensor;
  };

  void unlock();
  void put_back_others(Written* written) const;

  std::vector<Written> vars_;
  std::vector<tensorflow::Var*> locked_;
  bool on_copies_;
  int64_t items_;
};

}  // namespace nengo_dl
