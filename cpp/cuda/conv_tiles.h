// Convolutions as products of matrices that are never made: a block of threads has a tile of sums (rows x columns) and
// takes their terms in slices through shared memory. Each sum has its terms in the order of cuda/conv.h, and terms
// outside of the image are left out, not zeros that are added: the bits are the same.
//
// A job says what is summed (cuda/conv_tiles_map.h, conv_tiles_weights.h):
//   sum(row, column) over terms k of `row` of a[row.a + k.a] * b[k.b + column * b_column]
// The source is CUDA, and plain C++ where a block is a loop over its threads between two barriers.
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

#include "cuda/phase.h"

namespace nengo_dl {
namespace cuda {

// A term: where its factors are, and its number in each dimension (ConvSpans).
struct alignas(16) ConvTerm {
  int32_t a, b;
  uint32_t number;
};

// A row has the terms whose numbers are from `first` to `last` in each dimension.
struct alignas(16) ConvRow {
  int64_t a;
  uint32_t first, last;
};

// Whether numbers are within bounds, all dimensions at once. They lie side by side in a word; `above` has the bit above
// each of them, where a difference that is less than 0 borrows.
NDL_HD bool within(uint32_t number, const ConvRow& row, uint32_t above) {
  return (((number | above) - row.first) & ((row.last | above) - number) & above) == above;
}

constexpr int kConvSlice = 8;  // terms

// Where a block is in the terms of its tile: all its threads have the same.
template <class T, class Rounds>
struct ConvWalk {
  const T *a, *b;
  const ConvTerm* terms;
  int32_t slices;             // of the terms, which a job may go through several times,
  int32_t all;                // slices altogether
  int32_t columns;            // of the tile, that there are
  int32_t read, taken, done;  // slices, from 0 each time: the next of terms, of factors, of products
  Rounds rounds;              // the job's
};

// A thread has `kOwn` rows of 4 columns.
template <int kRowsOf, int kColumnsOf, int kOwnOf>
struct ConvTile {
  static constexpr int rows = kRowsOf, columns = kColumnsOf, own = kOwnOf, quads = columns / 4;
  static constexpr int threads = rows / own * quads;
};
using WideTile = ConvTile<128, 64, 8>;
using SquareTile = ConvTile<64, 64, 4>;
using NarrowTile = ConvTile<128, 32, 4>;
using SlimTile = ConvTile<128, 16, 4>;

// kRowsInner: neighbouring threads load neighbouring rows, otherwise neighbouring terms.
template <class JobOf, class Tile, bool kRowsInner>
struct ConvTiles {
  using Job = JobOf;
  using T = typename Job::Scalar;
  using Walk = ConvWalk<T, typename Job::Rounds>;
  static constexpr int kRows = Tile::rows, kColumns = Tile::columns, kThreads = Tile::threads;
  static constexpr int kSlice = kConvSlice;
  static constexpr int kVector = 16 / static_cast<int>(sizeof(T));  // what a thread reads at once
  static constexpr int kPitch = kSlice + kVector;                   // of rows: keeps threads off each other's banks
  static constexpr int kChunk = sizeof(T) == 8 ? 2 : Job::sums ? 4 : 8;  // terms in registers
  static constexpr int kA = kRows * kSlice / kThreads;                   // factors that a thread loads
  static constexpr int kB = kColumns * kSlice / kThreads;
  // Blocks for whose registers a processor has room.
  static constexpr int kResident = sizeof(T) == 8 && Job::sums ? 256 / kThreads : kThreads == 128 ? 3 : 2;
  // A byte for each term: whether the row has it.
  using Mask = std::conditional_t<kChunk == 8, uint64_t, std::conditional_t<kChunk == 4, uint32_t, uint16_t>>;
  static constexpr Mask kFull = static_cast<Mask>(0x0101010101010101);
  static_assert(kThreads % kSlice == 0 && kThreads % kRows % 32 == 0 && kThreads >= kRows && kB > 0);

  struct alignas(16) Vector {
    T v[kVector];
  };
  struct Shared {
    Vector a[2][kRows][kPitch / kVector];
    Vector b[2][kSlice][(kColumns + kVector) / kVector];
    Mask has[2][kRows][kSlice / kChunk];
    ConvTerm terms[2][kSlice];
    ConvRow rows[kRows];
    int64_t out[kRows];  // less than 0: there is no such row
  };
  struct Lane {
    Walk walk;
    T a[kA], b[kB];
    T sum[Tile::own][4];
    T total[Job::sums ? Tile::own : 1][4];
  };

  Job job;

  // The stages, between barriers: begin, first, as many steps as there are slices, end.
  NDL_HD void begin(int64_t block, int thread, Lane& lane, Shared& shared) const {
    const auto tile = job.template find<Tile>(block);
    lane.walk = job.start(tile);
    if (thread < kRows) shared.out[thread] = job.row(tile, thread, &shared.rows[thread]);
    Walk& walk = lane.walk;
    walk.read = walk.taken = walk.done = 0;
    for (int buffer = 0; buffer < 2; ++buffer) {
      if (thread < kSlice && buffer < walk.all) shared.terms[buffer][thread] = walk.terms[walk.read * kSlice + thread];
      if (++walk.read >= walk.slices) walk.read = 0;
    }
    NDL_UNROLL
    for (int i = 0; i < Tile::own; ++i)
      for (int j = 0; j < 4; ++j) lane.sum[i][j] = lane.total[Job::sums ? i : 0][j] = 0;
  }

  NDL_HD void first(int thread, Lane& lane, Shared& shared) const {
    if (lane.walk.all == 0) return;
    take(thread, lane, shared, 0);
    put(thread, lane, shared, 0);
  }

  NDL_HD void step(int32_t i, int thread, Lane& lane, Shared& shared) const {
    Walk& walk = lane.walk;
    const int now = i & 1;
    const bool more = i + 1 < walk.all, reads = thread < kSlice && i + 2 < walk.all;
    ConvTerm term{};
    if (reads) term = walk.terms[walk.read * kSlice + thread];
    if (++walk.read == walk.slices) walk.read = 0;
    if (more) take(thread, lane, shared, 1 - now);
    multiply(thread, lane, shared, now);
    if (more) put(thread, lane, shared, 1 - now);
    if (reads) shared.terms[now][thread] = term;
  }

  NDL_HD void end(int thread, const Lane& lane, const Shared& shared) const {
    const int column = thread % Tile::quads * 4;
    NDL_UNROLL
    for (int i = 0; i < Tile::own; ++i) {
      const int64_t out = shared.out[row_of(thread, i)];
      for (int j = 0; j < 4; ++j)
        if (out >= 0 && column + j < lane.walk.columns)
          job.put(out + (column + j) * job.out_column, Job::sums ? lane.total[Job::sums ? i : 0][j] : lane.sum[i][j]);
    }
  }

 private:
  NDL_HD static int row_of(int thread, int i) { return thread / Tile::quads + i * (kRows / Tile::own); }

  // Starts to load this thread's part of the factors of a slice, and says which there are.
  NDL_HD void take(int thread, Lane& lane, Shared& shared, int buffer) const {
    Walk& walk = lane.walk;
    bool has[kA];
    NDL_UNROLL
    for (int i = 0; i < kA; ++i) {
      const ConvTerm term = shared.terms[buffer][a_term(thread, i)];
      const ConvRow row = shared.rows[a_row(thread, i)];
      has[i] = within(term.number, row, job.above);
      lane.a[i] = has[i] ? walk.a[row.a + term.a] : T(0);
    }
    NDL_UNROLL
    for (int i = 0; i < kB; ++i) {
      const int column = b_column(thread, i);
      const int32_t at = shared.terms[buffer][b_term(thread, i)].b;
      lane.b[i] = column < walk.columns ? walk.b[at + column * job.b_column] : T(0);
    }
    NDL_UNROLL
    for (int i = 0; i < kA; ++i)
      reinterpret_cast<unsigned char*>(shared.has[buffer][a_row(thread, i)])[a_term(thread, i)] = has[i];
    if (++walk.taken == walk.slices) {
      walk.taken = 0;
      job.next(&walk);
    }
  }
  NDL_HD void put(int thread, const Lane& lane, Shared& shared, int buffer) const {
    NDL_UNROLL
    for (int i = 0; i < kA; ++i) {
      const int k = a_term(thread, i), row = a_row(thread, i);
      shared.a[buffer][row][k / kVector].v[k % kVector] = lane.a[i];
    }
    NDL_UNROLL
    for (int i = 0; i < kB; ++i) {
      const int k = b_term(thread, i), column = b_column(thread, i);
      shared.b[buffer][k][column / kVector].v[column % kVector] = lane.b[i];
    }
  }
  NDL_HD static int a_term(int thread, int i) {
    return kRowsInner ? thread / kRows + i * (kThreads / kRows) : thread % kSlice;
  }
  NDL_HD static int a_row(int thread, int i) {
    return kRowsInner ? thread % kRows : thread / kSlice + i * (kThreads / kSlice);
  }
  NDL_HD int b_term(int thread, int i) const {
    return job.b_columns_inner ? thread / kColumns + i * (kThreads / kColumns) : thread % kSlice;
  }
  NDL_HD int b_column(int thread, int i) const {
    return job.b_columns_inner ? thread % kColumns : thread / kSlice + i * (kThreads / kSlice);
  }

  NDL_HD void multiply(int thread, Lane& lane, const Shared& shared, int buffer) const {
    const int quad = thread % Tile::quads;
    NDL_UNROLL
    for (int chunk = 0; chunk < kSlice / kChunk; ++chunk) {
      T b[kChunk][4];
      NDL_UNROLL
      for (int k = 0; k < kChunk; ++k)
        for (int v = 0; v < 4 / kVector; ++v) {
          const Vector some = shared.b[buffer][chunk * kChunk + k][quad * (4 / kVector) + v];
          for (int j = 0; j < kVector; ++j) b[k][v * kVector + j] = some.v[j];
        }
      NDL_UNROLL
      for (int i = 0; i < Tile::own; ++i) {
        const int row = row_of(thread, i);
        multiply_row(shared.a[buffer][row] + chunk * (kChunk / kVector), shared.has[buffer][row][chunk], b,
                     lane.sum[i]);
      }
    }
    Walk& walk = lane.walk;
    if (Job::sums && ++walk.done == walk.slices) {
      walk.done = 0;
      NDL_UNROLL
      for (int i = 0; i < Tile::own; ++i)
        for (int j = 0; j < 4; ++j) {
          lane.total[Job::sums ? i : 0][j] += lane.sum[i][j];
          lane.sum[i][j] = 0;
        }
    }
  }
  // Most rows have all of some terms, or none.
  NDL_HD static void multiply_row(const Vector* from, Mask has, const T (&b)[kChunk][4], T (&sum)[4]) {
    if (has == 0) return;
    T a[kChunk];
    for (int v = 0; v < kChunk / kVector; ++v) {
      const Vector some = from[v];
      for (int k = 0; k < kVector; ++k) a[v * kVector + k] = some.v[k];
    }
    if (has == kFull) {
      NDL_UNROLL
      for (int k = 0; k < kChunk; ++k)
        for (int j = 0; j < 4; ++j) sum[j] = device::fma(b[k][j], a[k], sum[j]);
    } else {
      NDL_UNROLL
      for (int k = 0; k < kChunk; ++k)
        for (int j = 0; j < 4; ++j)
          if (has >> (8 * k) & 1) sum[j] = device::fma(b[k][j], a[k], sum[j]);
    }
  }
};

#ifdef __CUDACC__

template <class Tiles>
__global__ void __launch_bounds__(Tiles::kThreads, Tiles::kResident) run_tiles(const Tiles tiles) {
  __shared__ typename Tiles::Shared shared;
  typename Tiles::Lane lane;
  const int thread = static_cast<int>(threadIdx.x);
  tiles.begin(blockIdx.x, thread, lane, shared);
  __syncthreads();
  tiles.first(thread, lane, shared);
  __syncthreads();
  for (int32_t i = 0; i < lane.walk.all; ++i) {
    tiles.step(i, thread, lane, shared);
    __syncthreads();
  }
  tiles.end(thread, lane, shared);
}

template <class Tiles>
void launch_tiles(const Tiles& tiles, int64_t blocks) {
  start_kernel(run_tiles<Tiles>, {dim3(static_cast<unsigned>(blocks)), Tiles::kThreads}, tiles);
}

#else

inline std::atomic<int64_t> tiles_launched{0};  // tests ask

// Backwards, every other one first; what nobody has written is not a number.
template <class Tiles>
void launch_tiles(const Tiles& tiles, int64_t blocks) {
  ++tiles_launched;
  const Open open;
  const auto each = [](int64_t count, const auto& body) {
    for (int64_t i = count - 1; i >= 0; i -= 2) body(i);
    for (int64_t i = count - 2; i >= 0; i -= 2) body(i);
  };
  const auto shared = std::make_unique<typename Tiles::Shared>();
  std::vector<typename Tiles::Lane> lanes(Tiles::kThreads);
  const auto threads = [&](const auto& stage) {
    each(Tiles::kThreads, [&](int64_t thread) { stage(static_cast<int>(thread), lanes[thread], *shared); });
  };
  each(blocks, [&](int64_t block) {
    std::memset(static_cast<void*>(shared.get()), 0xff, sizeof *shared);
    threads([&](int thread, auto& lane, auto& all) { tiles.begin(block, thread, lane, all); });
    threads([&](int thread, auto& lane, auto& all) { tiles.first(thread, lane, all); });
    for (int32_t i = 0; i < lanes[0].walk.all; ++i)
      threads([&](int thread, auto& lane, auto& all) { tiles.step(i, thread, lane, all); });
    threads([&](int thread, const auto& lane, const auto& all) { tiles.end(thread, lane, all); });
  });
}

#endif

}  // namespace cuda
}  // namespace nengo_dl
