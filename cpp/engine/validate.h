// The generic rules of docs/PROGRAM.md, checked once when a program is read.
#pragma once

#include "engine/kind.h"
#include "engine/program.h"

namespace nengo_dl {

// Throws ProgramError. Scalars () in arguments of rank 1 become (1), (1) in arguments of rank 0 becomes ().
void validate(Program& program);

// Elements an operand may touch in one block, relative to its offset; false if that overflows.
bool extent(const Operand& o, int64_t* lowest, int64_t* highest);

// Refuses ops whose arguments or blocks write the same element twice, and what can't be shown not to (overlap.cpp).
// `steps` is the work that the program as a whole may still ask for so (engine/elements.h).
void check_overlap(const OpRecord& op, const Kind& kind, int64_t* steps);

}  // namespace nengo_dl
