// Running and differentiating compiled programs from Python, and running bound ones.
#pragma once

#include <pybind11/pybind11.h>

#include "engine/engine.h"

namespace nengo_dl {

void define_runs(pybind11::module_& module, pybind11::class_<Compiled>& compiled);
void define_bound(pybind11::module_& module);

}  // namespace nengo_dl
