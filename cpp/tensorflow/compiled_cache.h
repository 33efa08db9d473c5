// Compiled programs, shared by all kernels that hold the same bytes.
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"

namespace nengo_dl {

// Compiles, or finds what a living kernel has compiled from the same bytes. Throws what Compiled's constructor throws.
std::shared_ptr<const Compiled> compile_cached(const std::string& bytes);

}  // namespace nengo_dl
