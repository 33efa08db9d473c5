// The work of one run, or of its gradient, on several threads.
#pragma once

#include "engine/kept_params.h"
#include "engine/recipe.h"

namespace nengo_dl {

// A compiled program of one scalar type with what is kept between its runs.
template <class T>
struct Runnable {
  const Facts& facts;
  Schedule<T> schedule;
  Recipes<T> recipes;
  KeptParams<T> params;

  Runnable(const Facts& facts, const Backend& backend, bool fuse)
      : facts(facts), schedule(facts, backend, fuse), recipes(schedule), params(schedule.space(), facts.program) {}
};

template <class T>
void check_args(const Program& program, const RunArgs<T>& args, int64_t functions, bool with_outputs);
// The most threads that a run may have.
template <class T>
int most_threads(const RunArgs<T>& args);
template <class T>
int thread_count(const RunArgs<T>& args, double work, bool has_callbacks);
template <class T>
RunResult run_program(const Runnable<T>& runnable, const RunArgs<T>& args);
// Records on `tape`; without `write_outputs` the run is made only for its values.
template <class T>
RunResult record_run(const Runnable<T>& runnable, const RunArgs<T>& args, const TapeRecipe& recipe, bool write_outputs);
template <class T>
void differentiate(const Runnable<T>& runnable, const GradArgs<T>& args);

}  // namespace nengo_dl
