// NengoDL>Adam on the CPU: changes all variables in one go, in place.
#include <algorithm>
#include <cstring>

#include "engine/updates.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/util/work_sharder.h"

namespace nengo_dl {
namespace {

using absl::Status;
using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::Var;
using tensorflow::core::RefCountPtr;

REGISTER_OP("NengoDL>Adam")
    .Input("variables: n * resource")
    .Input("first: n * resource")
    .Input("second: n * resource")
    .Input("gradients: n * T")
    .Input("alpha: T")
    .Input("rates: T")
    .Attr("n: int >= 1")
    .Attr("T: {float, double}")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::NoOutputs)
    .Doc(R"doc(
Does a step of Adam on variables, with the same results, bit by bit, as keras.optimizers.Adam, which does it for one
variable after the other in some ten operations each.

variables: What is trained.
first: First moments of the gradients, variables of the same shapes.
second: Second moments, likewise.
gradients: Of the variables.
alpha: Learning rate, corrected for moments that begin at zero; a scalar.
rates: 1 - beta_1, 1 - beta_2 and epsilon.
)doc");

// Variables that are changed in the order of their addresses, as TensorFlow's own ops lock them.
class Locked {
 public:
  explicit Locked(std::vector<Var*> vars) : vars_(std::move(vars)) {
    std::sort(vars_.begin(), vars_.end(), [](Var* a, Var* b) { return a->mu() < b->mu(); });
    vars_.erase(std::unique(vars_.begin(), vars_.end()), vars_.end());
    for (Var* var : vars_) var->mu()->lock();
  }
  ~Locked() {
    for (Var* var : vars_) var->mu()->unlock();
  }
  size_t count() const { return vars_.size(); }

 private:
  std::vector<Var*> vars_;
};

template <class T>
class AdamKernel : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override { OP_REQUIRES_OK(ctx, update(ctx)); }

 private:
  struct Piece {
    const T* gradient;
    T* data[3];  // values, first and second moments
    int64_t begin;
  };

  static Status update(OpKernelContext* ctx) {
    OpInputList gradients;
    TF_RETURN_IF_ERROR(ctx->input_list("gradients", &gradients));
    const int n = gradients.size();
    std::vector<RefCountPtr<Var>> held(3 * n);
    std::vector<Var*> vars;
    for (int i = 0; i < 3 * n; ++i) {
      TF_RETURN_IF_ERROR(tensorflow::LookupResource(ctx, tensorflow::HandleFromInput(ctx, i), &held[i]));
      vars.push_back(held[i].get());
    }
    const Tensor &alpha = ctx->input(4 * n), &rates = ctx->input(4 * n + 1);
    if (alpha.NumElements() != 1 || rates.NumElements() != 3)
      return absl::InvalidArgumentError(
          absl::StrCat("NengoDL>Adam: 'alpha' and 'rates': expected 1 and 3 numbers, got ", alpha.NumElements(),
                       " and ", rates.NumElements()));
    const T* rate = rates.flat<T>().data();
    const AdamStep<T> step{alpha.flat<T>()(0), rate[0], rate[1], rate[2]};
    const Locked locked(vars);
    if (locked.count() != vars.size())
      return absl::InvalidArgumentError("NengoDL>Adam: expected different variables, got two that are the same");
    std::vector<Piece> pieces;
    int64_t total = 0;
    for (int i = 0; i < n; ++i) {
      Piece piece{gradients[i].flat<T>().data(), {}, total};
      for (int k = 0; k < 3; ++k)
        TF_RETURN_IF_ERROR(own(ctx, vars[k * n + i], gradients[i].NumElements(), &piece.data[k]));
      total += gradients[i].NumElements();
      pieces.push_back(piece);
    }
    const auto run = [&](int64_t first, int64_t last) { update_range(step, pieces, total, first, last); };
    constexpr int64_t kCycles = 8;  // of an element, about
    const auto* workers = ctx->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers->num_threads, workers->workers, total, kCycles, run);
    return absl::OkStatus();
  }

  // A variable's memory, for it alone: where somebody else still looks at its values, a copy becomes its memory.
  static Status own(OpKernelContext* ctx, Var* var, int64_t expected, T** data) {
    Tensor* present = var->tensor();
    constexpr auto kType = tensorflow::DataTypeToEnum<T>::value;
    if (!var->is_initialized || present->dtype() != kType || present->NumElements() != expected)
      return absl::InvalidArgumentError(
          absl::StrCat("NengoDL>Adam: expected a variable of type ", tensorflow::DataTypeString(kType), " with ",
                       expected, " elements, as its gradient has, got ", tensorflow::DataTypeString(present->dtype()),
                       " with ", present->NumElements()));
    if (!present->RefCountIsOne() && expected > 0) {
      Tensor copy;
      TF_RETURN_IF_ERROR(ctx->allocate_temp(kType, present->shape(), &copy));
      std::memcpy(copy.data(), present->tensor_data().data(), present->TotalBytes());
      *present = copy;
    }
    *data = present->flat<T>().data();
    return absl::OkStatus();
  }

  // Elements first .. last-1 of all variables, one behind the other.
  static void update_range(const AdamStep<T>& step, const std::vector<Piece>& pieces, int64_t total, int64_t first,
                           int64_t last) {
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Piece& p = pieces[i];
      const int64_t end = i + 1 < pieces.size() ? pieces[i + 1].begin : total;
      const int64_t from = std::max(first, p.begin) - p.begin, count = std::min(last, end) - p.begin - from;
      if (count > 0) adam(step, p.gradient + from, p.data[1] + from, p.data[2] + from, p.data[0] + from, count);
    }
  }
};

REGISTER_KERNEL_BUILDER(Name("NengoDL>Adam").Device(tensorflow::DEVICE_CPU).TypeConstraint<float>("T"),
                        AdamKernel<float>);
REGISTER_KERNEL_BUILDER(Name("NengoDL>Adam").Device(tensorflow::DEVICE_CPU).TypeConstraint<double>("T"),
                        AdamKernel<double>);

}  // namespace
}  // namespace nengo_dl
