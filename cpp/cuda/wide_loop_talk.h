// What goes round between the blocks of a wide loop: a block tells words, and waits for those of others.
#pragma once

#include "cuda/wide_loop_threads.h"

namespace nengo_dl {
namespace cuda {

// Run: WideRun.
template <class Run>
struct WideTalk {
  using T = typename Run::Value;
  using Sharing = typename Run::Sharing;
  using Words = uint32_t[sizeof(T) / 4];
  const Run& run;

  NDL_IN_BLOCK uint64_t tag(int64_t t) const {
    return uint64_t{static_cast<uint32_t>(run.call.tag + 1 + static_cast<uint32_t>(t - run.call.t0))} << 32;
  }
  NDL_IN_BLOCK uint64_t* words(const WideExchange& x, int64_t t, int32_t copy, int32_t b) const {
    const int64_t all = run.call.last - run.call.first, item = run.first - run.call.first + b;
    return run.call.told + (((t - run.call.t0) * kWideCopies + copy) * all + item) * run.call.words + x.first;
  }

  NDL_IN_BLOCK void send(const WideOp<T>& op, int64_t t) const {
    const WideExchange& x = run.exchanges[op.exchange];
    if (x.bits && x.whole) return send_all_bits(op, x, t);
    if (x.bits) return send_bits(op, x, t);
    run.threads.each(run.items, op.count, [&](int32_t b, int32_t e) {
      Words parts;
      const T value = run.cell(op.near[kWideIn], t, b, e);
      __builtin_memcpy(parts, &value, sizeof value);
      const int32_t at = (op.place + e * op.place_step) * static_cast<int32_t>(sizeof(T) / 4);
      for (int32_t copy = 0; copy < kWideCopies; ++copy)
        for (int k = 0; k < static_cast<int>(sizeof(T) / 4); ++k)
          run.threads.tell(words(x, t, copy, b) + at + k, tag(t) | parts[k]);
    });
  }

  // The elements of an item are one warp's, as in WideSharing::each.
  NDL_IN_BLOCK void send_bits(const WideOp<T>& op, const WideExchange& x, int64_t t) const {
    const auto fired = [&](int32_t b, int32_t e) {
      return e < op.count && run.cell(op.near[kWideIn], t, b, e) != T(0);
    };
    if constexpr (Sharing::many) {
      for (int32_t b = run.threads.warp_number(); b < run.items; b += Sharing::warps)
        send_word(x, t, b, op.place, run.threads.ballot(fired(b, run.threads.lane())));
    } else {
      for (int32_t b = 0; b < run.items; ++b)
        send_word(x, t, b, op.place, bits_of(kWideLanes, [&](int32_t e) { return fired(b, e); }));
    }
  }
  NDL_IN_BLOCK void send_all_bits(const WideOp<T>& op, const WideExchange& x, int64_t t) const {
    const auto fired = [&](int32_t b, int32_t w, int32_t k) {
      const int32_t e = x.element(w, k);
      return k < x.deep && e < x.n && run.cell(op.near[kWideIn], t, b, e) != T(0);
    };
    if constexpr (Sharing::many) {
      for (int32_t i = run.threads.warp_number(); i < run.items * x.words; i += Sharing::warps) {
        const int32_t b = i / x.words, w = i - b * x.words;
        send_word(x, t, b, w, run.threads.ballot(fired(b, w, run.threads.lane())));
      }
    } else {
      for (int32_t b = 0; b < run.items; ++b)
        for (int32_t w = 0; w < x.words; ++w)
          send_word(x, t, b, w, bits_of(x.deep, [&](int32_t k) { return fired(b, w, k); }));
    }
  }
  template <class F>
  static NDL_IN_BLOCK uint32_t bits_of(int32_t count, const F& f) {
    uint32_t bits = 0;
    for (int32_t k = 0; k < count; ++k) bits |= static_cast<uint32_t>(f(k)) << k;
    return bits;
  }
  NDL_IN_BLOCK void send_word(const WideExchange& x, int64_t t, int32_t b, int32_t w, uint32_t bits) const {
    const auto send = [&](int32_t copy) { run.threads.tell(words(x, t, copy, b) + w, tag(t) | bits); };
    if constexpr (Sharing::many) {
      if (run.threads.lane() < kWideCopies) send(run.threads.lane());
    } else {
      for (int32_t copy = 0; copy < kWideCopies; ++copy) send(copy);
    }
  }
  // Of each lane of sums: which of its elements have fired, in their order, up to a multiple of four with zeros'
  // number.
  NDL_IN_BLOCK void list(const WideExchange& x, int32_t b, int32_t w, uint32_t bits) const {
    if constexpr (Sharing::many) {
      int32_t* const there = run.integers + b * run.block.item_integers;
      const int32_t lane = w / x.parts, part = w % x.parts, own = run.threads.ones(bits);
      int32_t sum = own;
      for (int32_t d = 1; d < x.parts; d *= 2) {
        const int32_t before = run.threads.before(sum, d, x.parts);
        if (part >= d) sum += before;
      }
      auto* const bytes = reinterpret_cast<unsigned char*>(there + x.lists() + lane);
      const auto put = [&](int32_t i, int32_t k) {
        bytes[(i / 4) * (kWideLanes * 4) + i % 4] = static_cast<unsigned char>(k);
      };
      for (int32_t i = sum - own; bits; bits &= bits - 1, ++i) put(i, part * x.deep + run.threads.lowest(bits));
      if (part != x.parts - 1) return;
      there[x.counts() + lane] = sum;
      for (int32_t i = sum; i % 4; ++i) put(i, x.rounds());
    }
  }

  NDL_IN_BLOCK bool hear(const uint64_t* at, int64_t t, uint32_t* value) const {
    uint64_t word;
    do {
      word = run.threads.hear(at);
    } while (Sharing::many && (word ^ tag(t)) >> 32);
    *value = static_cast<uint32_t>(word);
    return (word ^ tag(t)) >> 32 == 0;
  }
  // Words of one vector are a multiple of a warp's lanes.
  NDL_IN_BLOCK bool receive(const WideOp<T>& op, int64_t t) const {
    const WideExchange *const heard = run.exchanges + op.exchange, *const end = heard + op.count;
    const int32_t copy = run.number % kWideCopies;
    bool all = true;
    run.threads.each(1, (end[-1].start + end[-1].lanes()) * run.items, [&](int32_t, int32_t i) {
      const WideExchange* x = heard;
      while (x + 1 < end && i >= x[1].start * run.items) ++x;
      const int32_t k = i - x->start * run.items, lanes = x->lanes(), b = run.items == 1 ? 0 : k / lanes;
      all = hear_word(*x, copy, b, k - b * lanes, t) && all;
    });
    run.threads.barrier();
    return all;
  }
  NDL_IN_BLOCK bool hear_word(const WideExchange& x, int32_t copy, int32_t b, int32_t w, int64_t t) const {
    bool all = true;
    if (x.bits) {
      uint32_t value = 0;
      if (x.has(w)) all = hear(words(x, t, copy, b) + w, t, &value);
      run.integers[b * run.block.item_integers + x.at + w] = static_cast<int32_t>(value);
      list(x, b, w, value);
    } else if (w < x.n) {
      Words parts;
      for (int k = 0; k < static_cast<int>(sizeof(T) / 4); ++k)
        all = hear(words(x, t, copy, b) + w * static_cast<int32_t>(sizeof(T) / 4) + k, t, parts + k) && all;
      __builtin_memcpy(run.near + x.at + b * run.block.item + w, parts, sizeof parts);
    }
    return all;
  }
};

}  // namespace cuda
}  // namespace nengo_dl
