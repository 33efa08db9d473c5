// What runs and gradients of certain sizes need besides data: where values lie, what is recorded, the way back. Made
// when first asked for and kept, since most runs repeat the sizes of one before.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/backward.h"
#include "engine/division.h"
#include "engine/fork_lock.h"

namespace nengo_dl {

// A recorded run.
struct TapeRecipe {
  TapeLayout tape;
  Layout run;     // with a tape
  Layout replay;  // of a window whose values were not kept
};

// Seconds per step that runs took lately; 0: there was none. How often threads that share out ops were tried at
// first, and how often the faster way was taken since the other was.
struct Paces {
  std::atomic<double> alone{0}, divided{0};
  std::atomic<int64_t> tries{0}, turns{0};
};

// A run of a group by several workers.
template <class T>
struct DividedRecipe {
  std::shared_ptr<const Division<T>> division;
  Layout layout;
  bool pays;  // to be expected, if all workers have a processor of their own
  std::shared_ptr<Paces> paces = std::make_shared<Paces>();
};

template <class T>
struct GradRecipe {
  std::shared_ptr<const TapeRecipe> record;
  Activity activity;
  BackPlan<T> back;
};

// What a recipe depends on.
class RecipeKey {
 public:
  RecipeKey& add(int64_t number);
  RecipeKey& add(const std::vector<char>& flags);
  bool operator==(const RecipeKey& other) const { return bytes_ == other.bytes_; }

 private:
  std::string bytes_;
};

// The recipes that were used last, by key.
template <class Recipe>
class Kept {
 public:
  template <class Make>
  std::shared_ptr<const Recipe> get(const RecipeKey& key, Make make) {
    if (auto found = find(key)) return found;
    std::shared_ptr<const Recipe> made = make(), oldest;  // if two threads come here at once, both are good
    std::lock_guard<std::mutex> hold(fork_lock());        // before `oldest` ends, which gives back memory
    entries_.emplace_front(key, made);
    if (entries_.size() > kMost) {
      oldest = std::move(entries_.back().second);
      entries_.pop_back();
    }
    return made;
  }

 private:
  static constexpr size_t kMost = 16;

  std::shared_ptr<const Recipe> find(const RecipeKey& key) {
    std::lock_guard<std::mutex> hold(fork_lock());
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (!(entries_[i].first == key)) continue;
      std::rotate(entries_.begin(), entries_.begin() + i, entries_.begin() + i + 1);
      return entries_.front().second;
    }
    return nullptr;
  }

  std::deque<std::pair<RecipeKey, std::shared_ptr<const Recipe>>> entries_;  // the latest first
};

template <class T>
class Recipes {
 public:
  explicit Recipes(const Schedule<T>& schedule);

  std::shared_ptr<const Layout> run(int64_t batch, int64_t n_steps, int threads) const;
  std::vector<DividedOps> divided(int threads) const;
  std::shared_ptr<const DividedRecipe<T>> divided(int64_t batch, int64_t n_steps, int threads) const;
  // Of a run whose gradient may be asked for by all inputs, the state and the wanted parameters. ProgramError: no
  // gradient; std::runtime_error: larger than memory can be.
  std::shared_ptr<const TapeRecipe> tape(int64_t batch, int64_t n_steps, const TapeOptions& options) const;
  // Without a tape, no more is recorded than this gradient needs.
  std::shared_ptr<const GradRecipe<T>> grad(const GradArgs<T>& args) const;

 private:
  std::shared_ptr<const Division<T>> division(int threads) const;
  TapeRecipe make_tape(const Activity& activity, int64_t batch, int64_t n_steps, int64_t memory) const;

  const Schedule<T>& schedule_;
  const Facts& facts_;
  const Program& program_;
  const Sharing sharing_;
  mutable Kept<Layout> runs_;
  mutable Kept<Division<T>> divisions_;
  mutable Kept<DividedRecipe<T>> divided_;
  mutable Kept<TapeRecipe> tapes_;
  mutable Kept<GradRecipe<T>> grads_;
};

}  // namespace nengo_dl
