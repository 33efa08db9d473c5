// The kernel of cuda/ensemble_loop.h.
#include "cuda/ensemble_loop.h"

#include <algorithm>

namespace nengo_dl {
namespace cuda {
namespace {

#ifdef __CUDACC__

struct SyncedWarp : Warp {
  __device__ __forceinline__ void sync() const { __syncwarp(); }
};

template <class U>
__device__ __forceinline__ void stage(U* to, const U* from, int32_t count) {
  for (int32_t i = threadIdx.x; i < count; i += blockDim.x) to[i] = from[i];
}

template <class T, class N, int K, int D, int R>
__global__ void __launch_bounds__(kEnsembleWarps* kEnsembleLanes) ensemble_loop(const EnsembleCall<T> call) {
  NDL_BLOCK_MEMORY(memory);
  auto* const island = reinterpret_cast<EnsembleIsland<T>*>(memory);
  auto* const entries = reinterpret_cast<SmallEntry<T>*>(island + 1);
  auto* const ops = reinterpret_cast<SmallOp*>(entries + call.most_entries);
  T* const slots = reinterpret_cast<T*>(ops + call.most_ops);
  const int64_t number = blockIdx.x % call.count, warps = blockDim.x / kEnsembleLanes,
                warp = threadIdx.x / kEnsembleLanes;
  stage(island, call.islands + number, 1);
  __syncthreads();
  stage(entries, call.entries + island->entries.first, island->entries.count);
  stage(ops, call.ops + island->ops.first, island->ops.count);
  for (int32_t i = threadIdx.x; i < warps * call.slots; i += blockDim.x) slots[i] = 0;
  __syncthreads();
  const int64_t item = blockIdx.x / call.count * warps + warp;
  if (item >= call.frame.batch) return;
  SyncedWarp team;
  team.lane = static_cast<int>(threadIdx.x % kEnsembleLanes);
  run_island<T, N, K, D, R>(EnsembleTables<T>{*island, ops, entries, call.ports}, call, slots + warp * call.slots, item,
                            team);
}

template <class T, class N, int K, int D, int R>
void start(const EnsembleCall<T>& call) {
  const int32_t warps = static_cast<int32_t>(std::min<int64_t>(kEnsembleWarps, call.frame.batch));
  const int64_t groups = (call.frame.batch + warps - 1) / warps;
  const dim3 blocks(static_cast<unsigned>(call.count * groups));
  start_kernel(ensemble_loop<T, N, K, D, R>, {blocks, warps * kEnsembleLanes, call.bytes(warps)}, call);
}

#else

// One lane that does the work of all.
struct AloneInStep : Alone {
  void sync() const {}
};

template <class T, class N, int K, int D, int R>
void start(const EnsembleCall<T>& call) {
  const Open open;
  for (int64_t i = call.count * call.frame.batch - 1; i >= 0; --i) {
    const EnsembleIsland<T>& island = call.islands[i % call.count];
    const EnsembleTables<T> tables{island, call.ops + island.ops.first, call.entries + island.entries.first,
                                   call.ports};
    std::vector<T> slots(call.slots);
    run_island<T, N, K * kEnsembleLanes, D, R>(tables, call, slots.data(), i / call.count, AloneInStep{});
  }
}

#endif

}  // namespace

template <class T>
void start_ensembles(const EnsembleCall<T>& call) {
  const int each = (call.neurons + kEnsembleLanes - 1) / kEnsembleLanes;
  with_neuron_type<T>(call.type, [&](auto* type) {
    using N = typename device::Bare<decltype(*type)>::type;
    if constexpr (!N::draws) {
      const bool few = call.dims == 1 && call.rows <= 2;
      if (each <= 4) return few ? start<T, N, 4, 1, 2>(call) : start<T, N, 4, kEnsembleDims, kEnsembleRows>(call);
      few ? start<T, N, 8, 1, 2>(call) : start<T, N, 8, kEnsembleDims, kEnsembleRows>(call);
    }
  });
}
template void start_ensembles(const EnsembleCall<float>&);

}  // namespace cuda
}  // namespace nengo_dl
