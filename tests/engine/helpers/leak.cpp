// Forgets a compiled program, so that a test can see LeakSanitizer find it.
#include "engine/engine.h"
#include "helpers/weighted_filter.h"

int main() {
  nengo_dl::Compiled* volatile forgotten = new nengo_dl::Compiled(WeightedFilter::bytes());
  forgotten = nullptr;
  return forgotten != nullptr;
}
