// What space.cu starts: sums, zeros here and there, matrices that are turned.
#pragma once

#include <algorithm>

#include "cuda/phase.h"

namespace nengo_dl {
namespace cuda {

template <class T>
struct Sum {
  const T* from;
  T* to;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team&) const {
    to[i] += from[i];
  }
};

template <class T>
struct Zero {
  char* first;
  int64_t distance;
  const int64_t* elements;
  int64_t count;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team&) const {
    const int64_t item = i / count;
    reinterpret_cast<T*>(first + item * distance)[elements[i - item * count]] = 0;
  }
};

template <class T>
struct FindOther {
  const T* values;
  int* found;
  template <class Team>
  NDL_HD void operator()(int64_t i, const Team&) const {
    if (values[i] != T(0)) *found = 1;
  }
};

// A block turns one tile after the other, by way of its shared memory, so that neighbours read and write neighbours.
template <class T>
__global__ void __launch_bounds__(256) turn_tiles(const T* from, int64_t rows, int64_t columns, int64_t tiles, T* to) {
  constexpr int kTile = 32, kLines = 8;
  __shared__ T tile[kTile][kTile + 1];
  const int x = threadIdx.x % kTile, y = threadIdx.x / kTile;
  const int64_t across = (columns + kTile - 1) / kTile, down = (rows + kTile - 1) / kTile;
  for (int64_t k = blockIdx.x; k < tiles; k += gridDim.x) {
    const int64_t column = k % across * kTile, row = k / across % down * kTile;
    const int64_t matrix = k / (across * down) * rows * columns;
    for (int line = y; line < kTile; line += kLines)
      if (row + line < rows && column + x < columns) tile[line][x] = from[matrix + (row + line) * columns + column + x];
    __syncthreads();
    for (int line = y; line < kTile; line += kLines)
      if (column + line < columns && row + x < rows) to[matrix + (column + line) * rows + row + x] = tile[x][line];
    __syncthreads();
  }
}

template <class T>
void turn_all(const void* from, int64_t rows, int64_t columns, int64_t count, void* to) {
  constexpr int64_t kTile = 32, kMostBlocks = 132 * 16;
  const int64_t tiles = (rows + kTile - 1) / kTile * ((columns + kTile - 1) / kTile) * count;
  if (tiles == 0) return;
  start_kernel(turn_tiles<T>, {dim3(static_cast<unsigned>(std::min(tiles, kMostBlocks))), 256},
               static_cast<const T*>(from), rows, columns, tiles, static_cast<T*>(to));
}

}  // namespace cuda
}  // namespace nengo_dl
