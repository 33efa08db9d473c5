// Ways to run a loop region on a GPU. Each way that takes a region's ops makes a kernel for it; the one that expects to
// be fastest for a run's number of items does the run. All give the same bits: a sum over 32 elements or more has the
// order of DenseOp's teams, lane by lane and then as Warp::sum adds them, a shorter one goes from first to last.
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"

namespace nengo_dl {
namespace cuda {

constexpr double kNever = std::numeric_limits<double>::infinity();

template <class T>
class LoopWay : public Kernel<T> {
 public:
  // Roughly what a step takes for the frame's items, on an H100; infinite (kNever) if it can't run them. The first of a
  // way forward, the second of a way back; the frame's arrays are the host's.
  virtual double seconds(const Frame<T>&) const { return kNever; }
  virtual double seconds(const GradFrame<T>&) const { return kNever; }
  virtual bool always() const { return false; }  // whether `seconds` is never kNever
};

template <class T>
using MakeWay = std::function<std::unique_ptr<LoopWay<T>>(const std::vector<LoopOp>&, const Program&)>;  // or null

struct WayMaker {
  std::string name;  // for people
  MakeWay<float> run32 = nullptr, back32 = nullptr;
  MakeWay<double> run64 = nullptr, back64 = nullptr;
  bool only_if_asked = false;  // where NENGO_DL_LOOP_WAY names it
};

// While the library is loaded. Ways of the same speed are taken in the order of their names.
// NENGO_DL_LOOP_WAY in the environment, for tests and measurements, names the only one that runs the loops which it
// takes.
void add_loop_way(WayMaker maker);

}  // namespace cuda
}  // namespace nengo_dl
