// Who runs a program: the kernels of the op kinds, the memory they work on, how much of it at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/geometry.h"
#include "engine/kernel.h"
#include "engine/space.h"

namespace nengo_dl {

// Makes the kernel of an op. The record outlives the kernel.
template <class T>
using MakeKernel = std::function<std::unique_ptr<Kernel<T>>(const OpRecord&, const Program&)>;

struct KernelMaker {
  MakeKernel<float> make32;
  MakeKernel<double> make64;

  template <class T>
  const MakeKernel<T>& make() const {
    if constexpr (sizeof(T) == 4)
      return make32;
    else
      return make64;
  }
};

struct Fusion;  // engine/fusion.h

// An op of a loop region, as one kernel is to run it together with the others of the region.
struct LoopOp {
  const OpRecord* op;
  // On the way back: what is called for each step, and which elements of adjoints in place are cleared then.
  bool passes = false, params = false;
  std::vector<std::pair<View, const std::vector<int64_t>*>> cleared = {};
};

// Makes one kernel that runs all ops of a loop region, step by step (`run`), or goes back through them (`grad`; the
// gradients of parameters that may wait for the end of the window are not its matter). Null: the ops are run one by
// one.
template <class T>
using MakeLoop = std::function<std::unique_ptr<Kernel<T>>(const std::vector<LoopOp>&, const Program&)>;

struct LoopMaker {
  MakeLoop<float> run32 = nullptr, back32 = nullptr;
  MakeLoop<double> run64 = nullptr, back64 = nullptr;

  template <class T>
  const MakeLoop<T>& run() const {
    if constexpr (sizeof(T) == 4)
      return run32;
    else
      return run64;
  }
  template <class T>
  const MakeLoop<T>& back() const {
    if constexpr (sizeof(T) == 4)
      return back32;
    else
      return back64;
  }
};

class NDL_API Backend {
 public:
  Backend(std::string name, Space& space, const Tiling& tiling);
  ~Backend();

  const std::string& name() const { return name_; }
  Space& space() const { return space_; }
  const Tiling& tiling() const { return tiling_; }
  const std::map<std::string, KernelMaker>& kernels() const { return kernels_; }
  // Throws std::logic_error for a kind that has a kernel already.
  void add_kernel(const std::string& kind, KernelMaker maker);
  const KernelMaker& find_kernel(const std::string& kind) const;  // ProgramError lists what there is
  void set_loops(LoopMaker maker) { loops_ = std::move(maker); }
  const LoopMaker& loops() const { return loops_; }
  void add_fusion(Fusion fusion);
  const std::vector<Fusion>& fusions() const { return fusions_; }

 private:
  std::string name_;
  Space& space_;
  const Tiling& tiling_;
  std::map<std::string, KernelMaker> kernels_;
  std::vector<Fusion> fusions_;
  LoopMaker loops_;
};

NDL_API Backend& cpu_backend();

// Backends other than the CPU's, from libraries of their own. Throws std::logic_error if there is one of this name.
NDL_API void add_backend(std::unique_ptr<Backend> backend);
const Backend& find_backend(const std::string& name);  // std::invalid_argument lists what there is

// In a .cpp of cpp/ops: `const CpuKernel<DenseKernel> kernel("dense");`, a class template with a constructor
// (const OpRecord&, const Program&).
template <template <class> class K>
struct CpuKernel {
  explicit CpuKernel(const std::string& kind) {
    cpu_backend().add_kernel(kind, {[](const OpRecord& r, const Program& p) -> std::unique_ptr<Kernel<float>> {
                                      return std::make_unique<K<float>>(r, p);
                                    },
                                    [](const OpRecord& r, const Program& p) -> std::unique_ptr<Kernel<double>> {
                                      return std::make_unique<K<double>>(r, p);
                                    }});
  }
};

}  // namespace nengo_dl
