// Groups and windows for a GPU.
#pragma once

#include "engine/geometry.h"

namespace nengo_dl {
namespace cuda {

const Tiling& device_tiling();

}  // namespace cuda
}  // namespace nengo_dl
