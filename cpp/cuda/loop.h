// Whole loop regions on the device: an interpreter that runs the ops of a region step by step, with a barrier where one
// op needs what another has written. An island of ops (engine/islands.h) of some items belongs to one block of threads;
// where a region is one large island, all blocks of the GPU share it out, with a barrier among all of them.
#pragma once

#include <cstring>
#include <type_traits>

#include "cuda/all_ops.h"
#include "cuda/flat.h"

namespace nengo_dl {
namespace cuda {

// Before a function of host and device that calls its argument, which is of one of them.
#ifdef __CUDACC__
#define NDL_WHEREVER_F_IS _Pragma("nv_exec_check_disable")
#else
#define NDL_WHEREVER_F_IS
#endif

// On the way back: adjoints in place that an op has overwritten on the way forward.
template <class T>
struct ClearOp : PlainOp {
  static constexpr int phases = 0, back_phases = 1;
  View view;
  const int64_t* elements;
  int64_t count;

  template <int P>
  NDL_HD int64_t back_work(const GradFrame<T>& f, int64_t, Pass) const {
    return count * f.adjoint.batch;
  }
  template <int P, class Team>
  NDL_HD void back(const GradFrame<T>& f, int64_t, int64_t, Pass, int64_t i, const Team& team) const {
    Digits digits{i};
    const int64_t e = digits.take(count);
    if (team.lane == 0) view.at(f.adjoint, 0, digits.rest)[elements[e]] = 0;
  }
};

// Numbers of the ops, in the order of NDL_DEVICE_OPS; behind them ClearOp.
enum OpNumber : int32_t {
#define NDL_OP_NUMBER(kind, Op) number_of_##kind,
  NDL_DEVICE_OPS(NDL_OP_NUMBER) NDL_FLAT_OPS(NDL_OP_NUMBER)
#undef NDL_OP_NUMBER
      number_of_clear
};

constexpr size_t largest_op() {
  size_t size = sizeof(ClearOp<double>);
#define NDL_OP_SIZE(kind, Op) size = sizeof(Op<double>) > size ? sizeof(Op<double>) : size;
  NDL_DEVICE_OPS(NDL_OP_SIZE)
#undef NDL_OP_SIZE
  return size;
}

template <class T>
struct AnyOp {
  int32_t number = 0;
  bool waits = false;                   // for what the ops before it have done
  bool passes = false, params = false;  // on the way back: which passes are made
  alignas(16) unsigned char bytes[(largest_op() + 15) / 16 * 16];

  template <class Op>
  void hold(const Op& op) {
    static_assert(std::is_trivially_copyable_v<Op>, "an op is copied to the device as it is");
    std::memcpy(bytes, &op, sizeof op);
  }
  // f(op) for what it holds.
  NDL_WHEREVER_F_IS
  template <class F>
  NDL_HD void visit(F&& f) const {
    switch (number) {
#define NDL_VISIT_OP(kind, Op)                 \
  case number_of_##kind:                       \
    f(*reinterpret_cast<const Op<T>*>(bytes)); \
    return;
      NDL_DEVICE_OPS(NDL_VISIT_OP)
      NDL_FLAT_OPS(NDL_VISIT_OP)
#undef NDL_VISIT_OP
      case number_of_clear:
        f(*reinterpret_cast<const ClearOp<T>*>(bytes));
        return;
    }
  }
};

// What a block is given. Share s: ops first[s] .. first[s + 1] - 1.
template <class T>
struct LoopCall {
  const AnyOp<T>* ops;
  const int32_t* first;
  const int64_t *input_sizes, *output_sizes;  // elements of a row
  int32_t buffers, inputs, outputs;
  int64_t items;  // of a block
  int64_t t0, t1;
  bool back;
};

template <class T>
struct RunLoop {
  LoopCall<T> call;
  Frame<T> frame;
};
template <class T>
struct BackLoop {
  LoopCall<T> call;
  GradFrame<T> frame;
};

#ifdef __CUDACC__
#define NDL_NOT_INLINED __device__ __noinline__  // so that the registers of one op are not the registers of all
#else
#define NDL_NOT_INLINED inline
#endif

// Calls a phase of an op with the threads of a block or of all blocks.
template <class T, class Op, int P, class Threads>
NDL_NOT_INLINED void run_one(const Op& op, const Frame<T>& f, int64_t t, const Threads& threads) {
  const int64_t work = op.template work<P>(f, 1);
  const auto body = [&](int64_t i, const auto& team) { op.template run<P>(f, t, t + 1, i, team); };
  if constexpr (Op::knows_teams)
    if (op.teams(P)) return threads.template each<true>(work, body);
  threads.template each<false>(work, body);
}
template <class T, class Op, int P, class Threads>
NDL_NOT_INLINED void back_one(const Op& op, const GradFrame<T>& f, int64_t t, Pass pass, const Threads& threads) {
  const int64_t work = op.template back_work<P>(f, 1, pass);
  const auto body = [&](int64_t i, const auto& team) { op.template back<P>(f, t, t + 1, pass, i, team); };
  if constexpr (Op::needs_back_teams)
    if (op.back_teams(P)) return threads.template each<true>(work, body);
  threads.template each<false>(work, body);
}

NDL_WHEREVER_F_IS
template <int First, int Count, class F>
NDL_HD void each_phase(F&& f) {
  if constexpr (First < Count) {
    f(std::integral_constant<int, First>());
    each_phase<First + 1, Count>(f);
  }
}

template <class T, class Threads>
NDL_HD void run_steps(const LoopCall<T>& call, const AnyOp<T>* ops, int count, const Frame<T>& f,
                      const Threads& threads) {
  for (int64_t t = call.t0; t < call.t1; ++t) {
    for (int i = 0; i < count; ++i) {
      if (ops[i].waits) threads.barrier();
      ops[i].visit([&](const auto& op) {
        using Op = std::decay_t<decltype(op)>;
        each_phase<0, Op::phases>([&](auto phase) {
          constexpr int P = decltype(phase)::value;
          if (P > 0) threads.barrier();
          run_one<T, Op, P>(op, f, t, threads);
        });
      });
    }
    threads.barrier();
  }
}

template <class T, class Threads>
NDL_HD void run_steps(const LoopCall<T>& call, const AnyOp<T>* ops, int count, const GradFrame<T>& f,
                      const Threads& threads) {
  for (int64_t t = call.t1 - 1; t >= call.t0; --t) {
    for (int i = count - 1; i >= 0; --i) {
      if (ops[i].waits) threads.barrier();
      ops[i].visit([&](const auto& op) {
        using Op = std::decay_t<decltype(op)>;
        for (int pass = 0; pass < 2; ++pass) {
          if (!(pass == 0 ? ops[i].params : ops[i].passes)) continue;
          each_phase<0, Op::back_phases>([&](auto phase) {
            constexpr int P = decltype(phase)::value;
            if (P > 0 || (pass == 1 && ops[i].params)) threads.barrier();
            back_one<T, Op, P>(op, f, t, pass == 0 ? Pass::params : Pass::values, threads);
          });
        }
      });
    }
    threads.barrier();
  }
}

// Arrays of a frame close to the threads, of items from `first` on.
template <class T>
struct Staging {
  char* at;
  int64_t first, batch, thread, threads;

  template <class U, class F>
  NDL_HD U* array(int64_t count, F value) {
    U* const to = reinterpret_cast<U*>(at);
    for (int64_t i = thread; i < count; i += threads) to[i] = value(i);
    at += (count * sizeof(U) + 15) / 16 * 16;
    return to;
  }
  NDL_HD void stage(const LoopCall<T>& call, const Frame<T>& from, Frame<T>& f) {
    f = from;
    f.base = array<T*>(call.buffers,
                       [&](int64_t i) { return from.base[i] ? from.base[i] + first * from.item[i] : nullptr; });
    f.row = array<int64_t>(call.buffers, [&](int64_t i) { return from.row[i]; });
    f.item = array<int64_t>(call.buffers, [&](int64_t i) { return from.item[i]; });
    if (from.inputs)
      f.inputs = array<const T*>(call.inputs, [&](int64_t i) {
        return from.inputs[i] ? from.inputs[i] + first * from.input_steps[i] * call.input_sizes[i] : nullptr;
      });
    if (from.outputs)
      f.outputs = array<T*>(call.outputs, [&](int64_t i) {
        return from.outputs[i] ? from.outputs[i] + first * from.output_steps[i] * call.output_sizes[i] : nullptr;
      });
    if (from.istate) f.istate = from.istate + first * from.istate_item;
    f.batch = batch;
    f.first_item = from.first_item + first;
  }
  NDL_HD void stage(const LoopCall<T>& call, const GradFrame<T>& from, GradFrame<T>& f) {
    f = from;
    stage(call, from.value, f.value);
    stage(call, from.adjoint, f.adjoint);
    f.input_grads = array<T*>(call.inputs, [&](int64_t i) {
      const int64_t item = from.value.input_steps[i] * call.input_sizes[i];
      return from.input_grads[i] ? from.input_grads[i] + first * item : nullptr;
    });
    f.output_grads = array<const T*>(call.outputs, [&](int64_t i) {
      const int64_t item = from.value.output_steps[i] * call.output_sizes[i];
      return from.output_grads[i] ? from.output_grads[i] + first * item : nullptr;
    });
  }
};

// Bytes that a frame takes there.
template <class T>
int64_t staged_bytes(const LoopCall<T>& call) {
  const auto rounded = [](int64_t count) { return (count * 8 + 15) / 16 * 16; };
  const int64_t frame = 3 * rounded(call.buffers) + rounded(call.inputs) + rounded(call.outputs);
  return call.back ? 2 * frame + rounded(call.inputs) + rounded(call.outputs) : frame;
}

// Where ops of a loop run.
struct LoopShape {
  int64_t shares;          // blocks along islands
  bool together = false;   // all blocks share out one island of all items
  int threads = 0;         // of a block
  int64_t blocks = 0;      // if together
  bool stage_ops = false;  // the ops of a share are copied to where the block is, too
  int64_t most_ops = 0;    // of a share
  double seconds = 0;      // of a step, roughly
};

// Starts the kernel (compiled as C++: runs it).
template <class T>
void start_loop(const RunLoop<T>& loop, const LoopShape& shape, int64_t groups);
template <class T>
void start_loop(const BackLoop<T>& loop, const LoopShape& shape, int64_t groups);
template <class T>
void start_loop_together(const RunLoop<T>& loop, const LoopShape& shape);
template <class T>
void start_loop_together(const BackLoop<T>& loop, const LoopShape& shape);

// Bytes of a block's memory, at most; those that frames and ops may take.
int64_t block_bytes();
int64_t close_bytes();

}  // namespace cuda
}  // namespace nengo_dl
