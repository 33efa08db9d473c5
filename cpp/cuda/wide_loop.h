// A loop region whose parts act on each other, shared out among the processors of a GPU, each with its part of the
// weights and of the state in its own memory for all steps: one large island, whose neurons are spread over all blocks,
// or many ensembles, of which each stays in a block. What a product of another block reads goes round, as bits where
// neurons fire or do not.
//
// A word that goes round holds 32 bits of what is told and the number of the step: who waits for it needs no barrier.
// Each step has words of its own, so that nobody has to wait before it writes.
#pragma once

#include <vector>

#include "cuda/neurons.h"
#include "engine/backend.h"

namespace nengo_dl {
namespace cuda {

constexpr int kWideThreads = 512;
constexpr int kWideCopies = 4;        // of all words: many blocks that read one place wait for each other
constexpr int64_t kWideSteps = 1024;  // of a launch
constexpr int kWideLanes = 32;

// Elements in a block's memory: element e of an item at step t is at + e * step, or `flip` behind it in odd rows.
struct Near {
  int32_t at = -1, step = 0, flip = 0, shift = 0;  // at: -1 if there is none
  NDL_HD int32_t row(int64_t t) const { return at + (((t + shift) & 1) ? flip : 0); }
};

// Elements of a buffer of the frame.
struct Far {
  int32_t buffer = -1, shift = 0;
  int64_t first = 0, step = 0;
  template <class T>
  NDL_HD T* at(const Frame<T>& f, int64_t t, int64_t b, int64_t e) const {
    return f.base[buffer] + (t + shift) * f.row[buffer] + b * f.item[buffer] + first + e * step;
  }
};

enum class Wide : int32_t { copy, elementwise, lowpass, neurons, outer, output, dense, sparse, send, receive };

constexpr int kWideOuts = 1 + kMaxNeuronStates;
// Places of WideOp::near: what is written, what was there before (in the same order), what is read, weights in cells.
constexpr int kWideOld = kWideOuts, kWideIn = 2 * kWideOuts, kWideA = kWideIn + 2, kWideNear = kWideA + 1;

// A step of some elements (of some rows, for a product) of a block.
template <class T>
struct WideOp {
  Wide kind;
  bool waits = false, set = true;  // waits: for other threads of the block
  int32_t count = 0, outs = 1;
  Near near[kWideNear];
  Far kept[kWideOuts];  // rows where what is written is kept
  T a = 0, b = 0;       // lowpass; a: the factor of `outer`
  int32_t type = 0;
  const NeuronModel* model = nullptr;
  // Products. `told`: where among the block's exchanges X comes from as bits, or -1. Weights of a param lie at
  // `weights`, `width` a row.
  bool teams = false, has_bias = false, in_cells = false;
  int32_t told = -1, n = 0, weights = 0, width = 0, a_step = 1;
  Near x;
  bool own = false;               // x: what the block has computed
  int32_t starts = 0, codes = 0;  // of a sparse product: among the block's integers
  // send and receive: among the block's exchanges, the (first) one; place: of the first word that is sent, and to the
  // next. A block receives `count` of them at once.
  // output: its number, `n` elements in all, of which these are written.
  int32_t exchange = -1, place = 0, place_step = 0;
};

struct WideFetch {  // from a buffer, for each step
  Far from;
  int32_t count, at;  // and a second time behind it
};
struct WideLoad {  // into cells before the first step
  Far from;
  int32_t count;
  Near near;
  bool back;  // and back from there after the last one
};
struct WideWeights {
  Far row;  // its elements: rows
  int64_t column_step;
  int32_t rows, n, at, width;
};
struct WideEntry {  // a weight of a sparse product
  int64_t from;
  int32_t buffer, at;
};

// A vector that other blocks have or hear.
struct WideExchange {
  bool bits, whole;  // whole: bits come from one block
  int32_t n;
  int32_t words;        // for an item
  int32_t first;        // of the words of an item
  int32_t parts, deep;  // bits: words of a lane of sums; elements of a word
  // Where it is heard: among the values or, bits, integers of an item; among the words that are heard at once.
  int32_t at, start;
  NDL_HD int32_t lanes() const { return bits ? words : (n + kWideLanes - 1) / kWideLanes * kWideLanes; }
  NDL_HD int32_t rounds() const { return (n + kWideLanes - 1) / kWideLanes; }
  // Element p of the vector is bit `bit(p)` of word `word(p)`: a word holds what one lane of a team sums up.
  NDL_HD int32_t word(int32_t p) const { return p % kWideLanes * parts + p / kWideLanes / deep; }
  NDL_HD int32_t bit(int32_t p) const { return p / kWideLanes % deep; }
  NDL_HD int32_t element(int32_t word, int32_t bit) const {
    return (word % parts * deep + bit) * kWideLanes + word / parts;
  }
  NDL_HD bool has(int32_t word) const { return element(word, 0) < n; }
  // Integers of an item: the words, how many have fired by lane, and which, four to an integer.
  NDL_HD int32_t counts() const { return at + words; }
  NDL_HD int32_t lists() const { return at + words + kWideLanes; }
  NDL_HD int32_t integers() const { return words + kWideLanes + (rounds() + 3) / 4 * kWideLanes; }
};

// Parts of the tables below that are a block's.
struct Span {
  int32_t first = 0, count = 0;
};
struct WideBlock {
  Span ops, fetches, loads, weights, entries, integers, exchanges;
  int32_t fixed = 0, item = 0, item_integers = 0;  // values of all items, of an item
};

template <class T>
struct WideCall {
  const WideBlock* blocks;
  const WideOp<T>* ops;
  const WideFetch* fetches;
  const WideLoad* loads;
  const WideWeights* weights;
  const WideEntry* entries;
  const int32_t* integers;
  const WideExchange* exchanges;
  int32_t count;   // blocks of a team, which has items of its own
  int32_t words;   // of an item, all exchanges
  uint64_t* told;  // of as many items as the call has
  uint32_t tag;    // of the step before t0
  int64_t t0, t1;
  int64_t first, last;  // items; `items` of a team
  int32_t items;
  Frame<T> frame;
};

// The same on the host.
template <class T>
struct WidePlan {
  std::vector<WideBlock> blocks;
  std::vector<WideOp<T>> ops;
  std::vector<WideFetch> fetches;
  std::vector<WideLoad> loads;
  std::vector<WideWeights> weights;
  std::vector<WideEntry> entries;
  std::vector<int32_t> integers;
  std::vector<WideExchange> exchanges;
  std::vector<int64_t> in_rows, in_place;  // buffers that must have a row for each step, and one for all
  int32_t words = 0;
  bool good = false;
};

template <class T>
int64_t wide_bytes(const WideBlock& b, int64_t items) {
  const auto rounded = [](int64_t bytes) { return (bytes + 15) / 16 * 16; };
  return rounded(b.ops.count * int64_t{sizeof(WideOp<T>)}) +
         rounded(b.exchanges.count * int64_t{sizeof(WideExchange)}) +
         rounded((b.fixed + items * b.item) * int64_t{sizeof(T)}) +
         rounded((b.integers.count + items * b.item_integers) * 4) + 16;
}

template <class T>
WidePlan<T> plan_wide(const std::vector<LoopOp>& ops, const Program& program, Tables& tables, int64_t blocks,
                      bool together);

// Starts the kernel (compiled as C++: runs it), `teams` of call.count blocks.
template <class T>
void start_wide(const WideCall<T>& call, int64_t teams, int64_t bytes);

}  // namespace cuda
}  // namespace nengo_dl
