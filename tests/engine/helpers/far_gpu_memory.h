// What a library of far_space.h gives to the stand-in for TensorFlow's GPU that is linked against it (far_gpu.cpp), and
// to its tests.
#pragma once

#include "helpers/far_space.h"

extern "C" {
void* far_gpu_allocate(int64_t bytes) { return nengo_dl::far_space().allocate(bytes); }
void far_gpu_release(void* memory, int64_t bytes) { nengo_dl::far_space().release(memory, bytes); }
void far_gpu_copy(void* to, const void* from, int64_t bytes, int kind) {  // in, out or within
  const nengo_dl::FarSpace::Open open(nengo_dl::far_space());
  std::memmove(to, from, bytes);
  static_cast<void>(kind);
}
void far_gpu_fill(void* memory, int value, int64_t bytes) {
  const nengo_dl::FarSpace::Open open(nengo_dl::far_space());
  std::memset(memory, value, bytes);
}
void far_gpu_streams(void (*wait)()) { nengo_dl::far_space().set_streams(wait); }
// Bytes: from the host and to it, held, the most that were held; and the first two when work began and ended.
int64_t bytes_received() { return nengo_dl::far_space().received(); }
int64_t bytes_given() { return nengo_dl::far_space().given(); }
int64_t bytes_held() { return nengo_dl::far_space().held(); }
int64_t device_bytes_used() { return nengo_dl::far_space().used(); }
int64_t work_mark(int i) { return nengo_dl::far_space().mark(i); }

int64_t far_gpu_visits(int ended) { return nengo_dl::far_space().visits(ended != 0); }
}
