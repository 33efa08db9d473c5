// Ensembles in one pass: currents, neurons and decoded values of a group stay in the first-level cache, or in registers
// where x or y is a single number. Every sum is the chain that the plain kernel makes.
#include "kernels/ensemble.h"

#include "kernels/dense_sums.h"
#include "kernels/fired.h"
#include "neurons/types.h"

namespace nengo_dl {
namespace NDL_ISA {
namespace {

// Types that fire, so that few neurons put anything out. (Those that draw take neurons in Nengo's order.)
#define NDL_FUSED_TYPES(X)  \
  X(LIF)                    \
  X(AdaptiveLIF)            \
  X(SpikingRectifiedLinear) \
  X(RegularSpiking)

static_assert(kMaxEnsemble <= kGroup, "an ensemble must fit into a group");

inline DenseFunction<float> outer_kernel(float) { return &dense_outer32; }
inline DenseFunction<double> outer_kernel(double) { return &dense_outer64; }
inline DenseFunction<float> rows_kernel(float) { return &dense_rows32; }
inline DenseFunction<double> rows_kernel(double) { return &dense_rows64; }

template <class T>
using V = typename VectorOf<T>::type;

// Ensembles first .. first+blocks-1 and some rows of a call. Neuron i of ensemble b in row r has slot
// r * row + b * block + i of the group. `together`: states of ensembles lie side by side. `joined`: and their neurons
// are stepped as one run.
template <class T>
struct Group {
  static constexpr int64_t W = kLanes<T>;
  const EnsembleCall<T>& c;
  const bool together, joined;
  const int64_t block;
  int64_t first, blocks, r0, rows, row;
  int64_t at[kGroup / 2];  // slots of the ensembles
  alignas(64) T J[kGroup + W];
  alignas(64) T out[kGroup + W];
  Fired<T> fired;

  Group(const EnsembleCall<T>& call, bool together, bool join)
      : c(call), together(together), joined(together && join), block(together ? call.n : whole(call.n)) {
    for (int64_t b = 0; b < c.blocks && b * block < kGroup; b++) at[b] = b * block;
  }
  // Runs of neurons take whole pieces of slots, so that vectors of two of them never overlap.
  static int64_t whole(int64_t n) { return (n + kPiece - 1) / kPiece * kPiece; }
  int64_t runs() const { return joined ? 1 : blocks; }
  int64_t run_length() const { return joined ? blocks * c.n : c.n; }
  T* state(int s, int64_t b, int64_t r) const {
    return c.state[s] + c.state_at[s][first + b] + (r0 + r) * c.state_row[s];
  }
  int64_t slot(int64_t b, int64_t r) const { return (c.in_turn ? 0 : r * row) + b * block; }  // of those at once

  // Some blocks of a product and the rows of this group, with x or y still to be placed.
  DenseArgs<T> part(const DenseArgs<T>& whole, int64_t block, int64_t count) const {
    DenseArgs<T> d = whole;
    d.blocks = count, d.rows = rows;
    d.a_at += block, d.x_at += block, d.y_at += block, d.bias_at += block;
    d.x += r0 * d.x_row, d.y += r0 * d.y_row;
    if (d.bias) d.bias += r0 * d.bias_row;
    return d;
  }
  void encode() {
    DenseArgs<T> d = part(c.encode, first, blocks);
    d.y = J, d.y_at = at, d.y_row = row;
    c.encoder(d);
  }
  void decode(const Decode<T>& decode) const {
    constexpr int64_t kSome = 64;  // blocks
    int64_t from[kSome];           // the ensembles that they read
    const int64_t* const begin = decode.begin + first;
    for (int64_t j = begin[0], n = 0, b = 0; j < begin[blocks]; j += n) {
      for (n = 0; n < kSome && j + n < begin[blocks]; ++n) {
        while (j + n >= begin[b + 1]) ++b;
        from[n] = at[b];
      }
      DenseArgs<T> d = part(decode.product, j, n);
      d.x = out, d.x_at = from, d.x_row = row;
      decode.kernel(d);
    }
  }
};

// One step of a vector of neurons: what they put out; those that fire are noted.
template <class N, class T>
NDL_HD V<T> step(const N& model, V<T> J, V<T>* state, unsigned exist, Fired<T>& fired, typename Fired<T>::Walk& walk) {
  V<T> out;
  if constexpr (settles<N>(0)) {
    fired.add(walk, lane_bits(model.step(J, out, state)) & exist);
  } else {
    model.step(J, out, state);
    fired.add(walk, lane_bits(out != T(0)) & exist);
  }
  return out;
}

// Where the first ensemble of a row begins.
template <class N, class T>
struct RowOf {
  static constexpr int S = sizeof(N::states) / sizeof(N::states[0]) - 1;
  const T *bias, *x, *add;
  T *J, *out, *y, *now[S + 1];
  int64_t slot;

  RowOf(Group<T>& g, int64_t r) : J(g.J + r * g.row), out(g.out + r * g.row), slot(g.slot(0, r)) {
    const DenseArgs<T>&e = g.c.encode, &d = g.c.decodes->product;
    r += g.r0;
    bias = e.bias ? e.bias + r * e.bias_row : nullptr, x = e.x + r * e.x_row;
    y = d.y + r * d.y_row, add = d.bias ? d.bias + r * d.bias_row : nullptr;
    for (int s = 0; s < S; s++) now[s] = g.c.state[s] + r * g.c.state_row[s];
  }
};

// The neurons of ensemble b in a row. One: x is one number, currents are made here. Chains: those of the sum that y is,
// 0 where `out` is stored.
template <class N, class T, bool One, int Chains>
struct Ensemble {
  static constexpr int64_t W = kLanes<T>;
  static constexpr int S = RowOf<N, T>::S;
  using Walk = typename Fired<T>::Walk;

  const T *a, *bias, *weights;
  T x, *J, *out, *now[S + 1];
  const T* old[S + 1];
  int64_t slot;

  NDL_HD Ensemble(const Group<T>& g, const RowOf<N, T>& r, int64_t b) : slot(r.slot + b * g.block) {
    const EnsembleCall<T>& c = g.c;
    const int64_t k = g.first + b;
    if constexpr (One)
      a = c.encode.a + c.encode.a_at[k], bias = r.bias + c.encode.bias_at[k], x = r.x[c.encode.x_at[k]];
    J = r.J + b * g.block;
    if constexpr (Chains > 0)
      weights = c.decodes->product.a + c.decodes->product.a_at[c.decodes->begin[k]];
    else
      out = r.out + b * g.block;
    for (int s = 0; s < S; s++) now[s] = r.now[s] + c.state_at[s][k], old[s] = now[s] - c.old_row[s];
  }

  // Where a vector is not full its other lanes are part of the sum: they have to be silent.
  template <bool All, bool Infinite>
  NDL_HD V<T> current(int64_t i, int64_t rest) const {
    if constexpr (!One && Chains == 0) return load<V<T>>(J + i);
    if constexpr (!One) return All ? load<V<T>>(J + i) : load_part(J + i, rest);
    if constexpr (All) return load<V<T>>(bias + i) + x * load<V<T>>(a + i);
    const V<T> J = load_part(bias + i, rest) + x * load_part(a + i, rest);
    return Infinite ? select(first_lanes<V<T>>(rest), J, V<T>{}) : J;
  }

  template <bool All, bool Infinite>
  NDL_HD void lanes(const N& model, int64_t i, int64_t rest, Fired<T>& fired, Walk& walk, V<T>* sum) const {
    V<T> state[S + 1];
    for (int s = 0; s < S; s++) state[s] = All ? load<V<T>>(old[s] + i) : load_part(old[s] + i, rest);
    const unsigned exist = All ? ~0u : (1u << rest) - 1;
    const V<T> now_J = current<All, Infinite>(i, rest);
    if constexpr (One && settles<N>(0)) store(J + i, now_J);  // those that fire want it once more
    const V<T> o = step<N, T>(model, now_J, state, exist, fired, walk);
    for (int s = 0; s < S; s++) All ? store(now[s] + i, state[s]) : store_part(now[s] + i, state[s], rest);
    if constexpr (Chains > 0)
      *sum = fma(All ? load<V<T>>(weights + i) : load_part(weights + i, rest), o, *sum);
    else
      store(out + i, o);
  }

  template <bool Infinite = false>
  NDL_HD T run(const N& model, int64_t n, Fired<T>& fired) const {
    constexpr int C = Chains > 0 ? Chains : 1;
    V<T> sum[C] = {};
    Walk walk(slot, fired.count);
    int64_t i = 0;
    for (; i + C * W <= n; i += C * W)
      for (int q = 0; q < C; q++) lanes<true, false>(model, i + q * W, W, fired, walk, sum + q);
    for (; i + W <= n; i += W) lanes<true, false>(model, i, W, fired, walk, sum);
    if (i < n) lanes<false, Infinite>(model, i, n - i, fired, walk, sum + C - 1);
    fired.count = walk.count;
    if constexpr (C == 4) sum[0] += sum[2], sum[1] += sum[3];
    if constexpr (C > 1) sum[0] += sum[1];
    if constexpr (Chains == 0) return T(0);
    return sums<T, W, 1>(sum)[0];
  }
};

// The same where x is infinite or NaN, of which 0 is no factor.
template <class N, class T, bool One, int Chains>
__attribute__((noinline, cold)) T run_infinite(const N& model, Group<T>& g, const RowOf<N, T>& row, int64_t b) {
  return Ensemble<N, T, One, Chains>(g, row, b).template run<true>(model, g.run_length(), g.fired);
}

template <class N, class T>
NDL_HD bool infinite(const Group<T>& g, const RowOf<N, T>& r, int64_t b) {
  const T x = r.x[g.c.encode.x_at[g.first + b]];
  return !(x - x == T(0));
}

// y of ensemble b in a row, a single number.
template <class N, class T>
NDL_HD void put_sum(const Group<T>& g, const RowOf<N, T>& r, int64_t b, T sum) {
  const DenseArgs<T>& d = g.c.decodes->product;
  const int64_t j = g.c.decodes->begin[g.first + b];
  T* y = r.y + d.y_at[j];
  *y = !d.set ? *y + sum : d.bias ? r.add[d.bias_at[j]] + sum : sum;
}

// ---- decoded values of neurons that spike: columns of those that fired. What is left out adds 0 to sums that begin
// with 0, unless a weight is not finite.

// For B blocks from j on that read ensemble b, whose sums hide each other's latency.
template <int B, class T>
NDL_HD void add_columns(const Group<T>& g, const DenseArgs<T>& d, int64_t j, int64_t b, int64_t r, int64_t k0,
                        int64_t k1) {
  constexpr int64_t W = kLanes<T>;
  const int64_t slot = g.slot(b, r);
  const T* x = g.out + r * g.row + b * g.block;
  const T* a[B];
  T* y[B];
  for (int q = 0; q < B; q++) a[q] = d.a + d.a_at[j + q], y[q] = d.y + d.y_at[j + q] + (g.r0 + r) * d.y_row;
  for (int64_t i = 0; i < d.m; i += W) {
    const int64_t rest = d.m - i;
    V<T> sum[B] = {};
    for (int64_t k = k0; k < k1; k++) {
      const int64_t n = int64_t(g.fired.at[k]) - slot, column = n * d.a_j + i;
      const V<T> xn = splat<V<T>>(x[n]);
      for (int q = 0; q < B; q++)
        sum[q] = fma(rest < W ? load_part(a[q] + column, rest) : load<V<T>>(a[q] + column), xn, sum[q]);
    }
    for (int q = 0; q < B; q++)
      if (rest < W)
        store_part(y[q] + i, sum[q], rest);
      else
        store(y[q] + i, sum[q]);
  }
}

// ----

template <class N, class T>
void settle(const N& model, Group<T>& g, int64_t r, int64_t end) {
  constexpr int S = RowOf<N, T>::S;
  const T* const J = g.J + (g.c.in_turn ? r * g.row : 0);
  T* to[S][kGroup / kPiece];  // where number 0 would lie for a piece of neurons
  const auto place = [&](int s, int64_t b) { return g.state(s, b, r) - g.slot(b, r); };
  if (g.together && r + 1 == end) {
    for (int s = 0; s < S; s++) to[s][0] = place(s, 0);
    return g.fired.settle(model, J, [&](int s, int64_t i) { return to[s][0] + i; });
  }
  const int64_t length = g.together ? g.row : g.block;
  for (; r < end; r++)
    for (int64_t b = 0; b < (g.together ? 1 : g.blocks); b++)
      for (int s = 0; s < S; s++) {
        T* const from = place(s, b);
        for (int64_t i = g.slot(b, r) / kPiece; i < (g.slot(b, r) + length) / kPiece; i++) to[s][i] = from;
      }
  g.fired.settle(model, J, [&](int s, int64_t i) { return to[s][i / kPiece] + i; });
}

// What follows the steps of rows r .. end-1 of a group.
template <class N, class T>
void after_steps(const N& model, Group<T>& g, int64_t r, int64_t end, unsigned by_column) {
  if constexpr (settles<N>(0))
    if (g.fired.count) settle(model, g, r, end);
  if (!by_column) return;
  int64_t k = 0;
  for (; r < end; r++)
    for (int64_t b = 0; b < g.blocks; b++) {
      const int64_t first = k, slots = g.slot(b, r) + g.block;
      while (k < g.fired.count && int64_t(g.fired.at[k]) < slots) k++;
      for (int64_t i = 0; i < g.c.decode_count; i++) {
        if (!(by_column >> i & 1)) continue;
        const Decode<T>& decode = g.c.decodes[i];
        int64_t j = decode.begin[g.first + b];
        const int64_t last = decode.begin[g.first + b + 1];
        for (; j + 4 <= last; j += 4) add_columns<4>(g, decode.product, j, b, r, first, k);
        if (last - j >= 2) add_columns<2>(g, decode.product, j, b, r, first, k), j += 2;
        if (last - j == 1) add_columns<1>(g, decode.product, j, b, r, first, k);
      }
    }
}

template <class N, class T, bool One, int Chains>
void steps(const N model, Group<T>& g, unsigned by_column) {
  const int64_t n = g.run_length();
  for (int64_t r = 0; r < g.rows; r++) {
    if (r == 0 || g.c.in_turn) g.fired.count = 0;
    const RowOf<N, T> row(g, r);
    for (int64_t b = 0; b < g.runs(); b++) {
      if (One && Chains > 0 && infinite(g, row, b)) {
        put_sum(g, row, b, run_infinite<N, T, One, Chains>(model, g, row, b));
        continue;
      }
      const T sum = Ensemble<N, T, One, Chains>(g, row, b).run(model, n, g.fired);
      if constexpr (Chains > 0) put_sum(g, row, b, sum);
    }
    if (g.c.in_turn) after_steps(model, g, r, r + 1, by_column);
  }
  if (!g.c.in_turn) after_steps(model, g, 0, g.rows, by_column);
}

template <class N, class T, bool One>
void pick_chains(const N& model, Group<T>& g, int chains, unsigned by_column) {
  if (chains == 1) return steps<N, T, One, 1>(model, g, by_column);
  if (chains == 4) return steps<N, T, One, 4>(model, g, by_column);
  steps<N, T, One, 0>(model, g, by_column);
}

template <class N, class T>
bool side_by_side(const EnsembleCall<T>& c) {
  for (int s = 0; s < RowOf<N, T>::S; s++)
    for (int64_t k = 1; k < c.blocks; k++)
      if (c.state_at[s][k] - c.state_at[s][k - 1] != c.n) return false;
  return true;
}

template <class N, class T>
void run(const NeuronModel& bytes, const EnsembleCall<T>& c) {
  alignas(N) char copy[sizeof(N)];
  __builtin_memcpy(copy, bytes.bytes, sizeof(N));
  const N& model = *reinterpret_cast<const N*>(copy);
  const DenseArgs<T>&e = c.encode, &d = c.decodes->product;
  const bool one = c.encoder == outer_kernel(T()) && e.bias && e.a_i == 1 && e.b_i == 1;
  const bool single = c.decode_count == 1 && c.decodes->each && c.decodes->kernel == rows_kernel(T()) && d.m == 1;
  const int chains = !single ? 0 : d.n < kLongRow<T> ? 1 : 4;
  unsigned by_column = 0;
  for (int64_t i = 0; N::spikes && chains == 0 && i < c.decode_count; i++)
    by_column |= unsigned(c.decodes[i].by_columns) << i;
  Group<T> g(c, side_by_side<N>(c), !one && chains == 0);
  // Plain products want several rows at once; steps that follow one another want many neurons.
  const int64_t at_once = c.in_turn && one && chains ? 1 : 8, some = c.rows < at_once ? c.rows : at_once;
  const int64_t blocks = kGroup / g.block / some, fit = blocks > 1 ? blocks : 1;
  for (g.first = 0; g.first < c.blocks; g.first += g.blocks) {
    const int64_t left = c.blocks - g.first;
    g.blocks = left < fit ? left : fit, g.row = g.whole(g.blocks * g.block);
    for (g.r0 = 0; g.r0 < c.rows; g.r0 += g.rows) {
      const int64_t rows = kGroup / g.row;
      g.rows = c.rows - g.r0 < rows ? c.rows - g.r0 : rows;
      if (!one) g.encode();
      one ? pick_chains<N, T, true>(model, g, chains, by_column)
          : pick_chains<N, T, false>(model, g, chains, by_column);
      for (int64_t i = 0; chains == 0 && i < c.decode_count; i++)
        if (!(by_column >> i & 1)) g.decode(c.decodes[i]);
    }
  }
}

#define NDL_ENSEMBLE_ENTRY(Type) {Type<float>::name, &run<Type<float>, float>, &run<Type<double>, double>},

const EnsembleKernel table[] = {NDL_FUSED_TYPES(NDL_ENSEMBLE_ENTRY)};

}  // namespace

const EnsembleKernel* ensemble_kernels(int* count) {
  *count = sizeof table / sizeof table[0];
  return table;
}

}  // namespace NDL_ISA
}  // namespace nengo_dl
