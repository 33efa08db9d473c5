// Memory between runs is not zeroed. A program that follows the rules reads nothing before it has written it; what one
// reads that does not, reads zeros: these buffers are zeroed at the start of a run.
#pragma once

#include <vector>

#include "engine/flow.h"

namespace nengo_dl {

// Per buffer: whether it has memory of its own (carried, window, local) of which a step may read elements, or carry
// them to the next, that no op has written before.
std::vector<char> may_read_unwritten(const Program& program, const Flow& flow);

}  // namespace nengo_dl
