// Compiled programs, shared by all that hold the same bytes and run on the same backend.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "engine/engine.h"

namespace nengo_dl {

// Compiles for a backend, or finds what is alive of the same bytes. Errors begin with the name of the op.
absl::Status compile(const char* op, const std::string& bytes, const std::string& backend,
                     std::shared_ptr<const Compiled>* compiled);

}  // namespace nengo_dl
