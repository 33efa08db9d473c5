// Positions of a convolution that the same taps meet, as series.
#pragma once

#include <algorithm>
#include <vector>

#include "ops/conv_shape.h"

namespace nengo_dl {

// Positions of one dimension that equal taps meet: `count` of them, `step` apart; from each to the next one the input
// of the first tap moves by `move`.
struct Series {
  int64_t position, step, count;
  Taps taps;
  int64_t move;
};

// All positions of one dimension. Few series are listed; of a dimension that has very many, since many taps are beyond
// its ends at once or positions lie in many phases, each is made when it is asked for.
class AllSeries {
 public:
  AllSeries(const ConvDimension& dimension, bool transposed)
      : d_(dimension), transposed_(transposed), step_(transposed ? d_.stride : 1), move_(transposed ? 1 : d_.stride) {
    constexpr size_t kMost = 256;
    Series s = from(0);
    do listed_.push_back(s);
    while (find_next(&s) && listed_.size() < kMost);
    if (listed_.size() == kMost) listed_.resize(1), listed_.shrink_to_fit(), are_listed_ = false;
  }

  struct Place {
    Series series;
    size_t number;
  };
  Place begin() const { return {listed_[0], 0}; }
  bool next(Place* at) const {  // false: there are no more, and this is the first one again
    const bool more = are_listed_ ? ++at->number < listed_.size() : find_next(&at->series);
    if (!more)
      *at = begin();
    else if (are_listed_)
      at->series = listed_[at->number];
    return more;
  }

 private:
  // The longest one that begins at a position.
  Series from(int64_t position) const {
    if (transposed_) return {position, step_, count_transposed(position), d_.transposed(position), move_};
    return {position, step_, count_direct(position), d_.direct(position), move_};
  }
  // The next one of this phase, or the first of the next phase.
  bool find_next(Series* s) const {
    int64_t position = s->position + s->count * step_;
    if (position >= d_.out) {
      position = s->position % step_ + 1;
      if (position >= std::min(step_, d_.out)) return false;
    }
    *s = from(position);
    return true;
  }

  int64_t count_direct(int64_t position) const {
    const int64_t begin = position * d_.stride - d_.pad, last = begin + d_.kernel - 1, left = d_.out - position;
    if (begin >= d_.in) return left;                                                       // no tap meets any
    if (last < 0) return std::min(left, (d_.pad - d_.kernel) / d_.stride + 1 - position);  // likewise
    if (begin < 0 || last >= d_.in) return 1;
    return std::min(left, (d_.in - d_.kernel + d_.pad) / d_.stride + 1 - position);  // all taps do
  }
  int64_t count_transposed(int64_t position) const {
    const int64_t sum = position + d_.pad, start = sum / d_.stride, phase = sum % d_.stride;
    const int64_t left = (d_.out - 1 - position) / d_.stride + 1;
    if (d_.transposed(position).count == 0) return left;  // nor does any tap meet those behind
    const int64_t taps = (d_.kernel - 1 - phase) / d_.stride + 1;
    return start < d_.in && taps <= start + 1 ? std::min(left, d_.in - start) : 1;
  }

  ConvDimension d_;
  bool transposed_, are_listed_ = true;
  int64_t step_, move_;
  std::vector<Series> listed_;  // or the first alone
};

// How many taps of one dimension, from each on, join the same positions of the smaller image; not transposed. Of very
// many taps it is found when it is asked for.
class JoinedTaps {
 public:
  JoinedTaps() = default;  // each by itself
  explicit JoinedTaps(const ConvDimension& dimension) : d_(dimension), may_(true) {
    constexpr int64_t kMost = 256;
    for (int64_t tap = 0; d_.kernel <= kMost && tap < d_.kernel; ++tap) listed_.push_back(count(tap));
  }
  int64_t from(int64_t tap) const { return !may_ ? 1 : listed_.empty() ? count(tap) : listed_[tap]; }

 private:
  int64_t count(int64_t tap) const {
    const int64_t shift = tap - d_.pad, room = d_.in - 1 - shift, all = (d_.out - 1) * d_.stride;
    int64_t more = d_.kernel - 1 - tap;
    if (shift < 0) more = std::min(more, (-shift - 1) % d_.stride);  // the first position stays
    if (d_.joined(tap, false).count > 0) more = std::min(more, room > all ? room - all : room % d_.stride);  // the last
    return 1 + more;
  }

  ConvDimension d_{};
  bool may_ = false;
  std::vector<int64_t> listed_;
};

}  // namespace nengo_dl
