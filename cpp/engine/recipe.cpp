#include "engine/recipe.h"

#include <algorithm>
#include <stdexcept>

namespace nengo_dl {
namespace {

template <class T>
Wishes wishes_of(const Program& p, const GradArgs<T>& a) {
  Wishes w;
  for (const T* g : a.input_grads) w.inputs.push_back(g != nullptr);
  for (const T* g : a.param_grads) w.params.push_back(g != nullptr);
  for (const T* g : a.output_grads) w.outputs.push_back(g != nullptr && a.run.n_steps > 0);
  for (const T* g : a.learned_grads) w.learned.push_back(g != nullptr);
  w.state_wanted = a.state_grad != nullptr && p.state_size > 0, w.state_given = a.state_out_grad != nullptr;
  return w;
}

Wishes all_wishes(const Program& p, const TapeOptions& options) {
  Wishes all;
  all.inputs.assign(p.inputs.size(), 1), all.outputs.assign(p.outputs.size(), 1);
  all.params = options.wanted_params, all.learned.assign(p.params.size(), 1);
  if (all.params.empty()) all.params.assign(p.params.size(), 1);
  all.state_wanted = all.state_given = true;
  if (all.params.size() != p.params.size())
    throw std::invalid_argument("wanted_params: expected one value for each of the " + std::to_string(p.params.size()) +
                                " parameters, got " + std::to_string(all.params.size()));
  return all;
}

}  // namespace

RecipeKey& RecipeKey::add(int64_t number) {
  bytes_.append(reinterpret_cast<const char*>(&number), sizeof number);
  return *this;
}

RecipeKey& RecipeKey::add(const std::vector<char>& flags) {
  add(static_cast<int64_t>(flags.size()));
  for (char flag : flags) bytes_.push_back(flag != 0);
  return *this;
}

template <class T>
Recipes<T>::Recipes(const Schedule<T>& schedule)
    : schedule_(schedule),
      facts_(schedule.facts),
      program_(schedule.facts.program),
      sharing_(schedule.facts, schedule.units) {}

template <class T>
std::shared_ptr<const Layout> Recipes<T>::run(int64_t batch, int64_t n_steps, int threads) const {
  const RecipeKey key = RecipeKey().add(batch).add(n_steps).add(threads);
  return runs_.get(key, [&] {
    const int64_t item_bytes = sharing_.row_size(program_, schedule_.inner) * static_cast<int64_t>(sizeof(T));
    const int64_t matrix_bytes = facts_.matrix * static_cast<int64_t>(sizeof(T));
    const RunSizes sizes{batch, n_steps, program_.window, item_bytes, facts_.calls_python, matrix_bytes};
    return std::make_shared<Layout>(program_, sharing_, facts_.unwritten, schedule_.inner,
                                    schedule_.tiling().of_run(sizes, threads));
  });
}

template <class T>
std::shared_ptr<const Division<T>> Recipes<T>::division(int threads) const {
  return divisions_.get(RecipeKey().add(threads), [&] { return std::make_shared<Division<T>>(schedule_, threads); });
}

template <class T>
std::vector<DividedOps> Recipes<T>::divided(int threads) const {
  std::vector<DividedOps> result;
  const auto division = this->division(threads);
  for (const auto& stretch : division->stretches) result.push_back(stretch.ops);
  return result;
}

template <class T>
std::shared_ptr<const DividedRecipe<T>> Recipes<T>::divided(int64_t batch, int64_t n_steps, int threads) const {
  return divided_.get(RecipeKey().add(batch).add(n_steps).add(threads), [&] {
    const auto division = this->division(threads);
    const int64_t item_bytes =
        division->sharing().row_size(program_, division->inner) * static_cast<int64_t>(sizeof(T));
    const RunSizes sizes{batch, n_steps, program_.window, item_bytes / threads, facts_.calls_python};  // in each cache
    const Geometry g = schedule_.tiling().of_run(sizes, 1);
    const double rows = static_cast<double>(g.window) * static_cast<double>(g.group);
    const bool pays =
        schedule_.tiling().divides(division->work * rows, division->longest * rows, division->waits(g.window));
    return std::make_shared<DividedRecipe<T>>(
        DividedRecipe<T>{division, Layout(program_, division->sharing(), facts_.unwritten, division->inner, g), pays});
  });
}

template <class T>
TapeRecipe Recipes<T>::make_tape(const Activity& activity, int64_t batch, int64_t n_steps, int64_t memory) const {
  const TapeLayout tape(facts_, activity, batch, n_steps, memory, schedule_.tiling());
  return {tape, Layout(program_, sharing_, facts_.unwritten, tape, true),
          Layout(program_, sharing_, facts_.unwritten, tape, false)};
}

template <class T>
std::shared_ptr<const TapeRecipe> Recipes<T>::tape(int64_t batch, int64_t n_steps, const TapeOptions& options) const {
  const RecipeKey key = RecipeKey().add(batch).add(n_steps).add(options.memory).add(options.wanted_params);
  return tapes_.get(key, [&] {
    const Activity activity = find_activity(program_, facts_.flow, all_wishes(program_, options));
    return std::make_shared<TapeRecipe>(make_tape(activity, batch, n_steps, options.memory));
  });
}

template <class T>
std::shared_ptr<const GradRecipe<T>> Recipes<T>::grad(const GradArgs<T>& args) const {
  const RunArgs<T>& run = args.run;
  const Wishes w = wishes_of(program_, args);
  RecipeKey key = RecipeKey().add(run.batch).add(run.n_steps).add(run.record.memory).add(args.tape != nullptr);
  key.add(run.record.wanted_params).add(run.keep_last);
  key.add(w.inputs).add(w.params).add(w.outputs).add(w.learned).add(w.state_wanted).add(w.state_given);
  return grads_.get(key, [&] {
    Activity activity = find_activity(program_, facts_.flow, w);
    auto record =
        args.tape ? tape(run.batch, run.n_steps, run.record)
                  : std::make_shared<const TapeRecipe>(make_tape(activity, run.batch, run.n_steps, run.record.memory));
    BackPlan<T> back(schedule_, activity, record->tape, w, run.keep_last);
    return std::make_shared<GradRecipe<T>>(GradRecipe<T>{std::move(record), std::move(activity), std::move(back)});
  });
}

template class Recipes<float>;
template class Recipes<double>;

}  // namespace nengo_dl
