// What the engine library shows to the doors (cpp/python, cpp/tf); everything else is hidden.
#pragma once

#define NDL_API __attribute__((visibility("default")))

// What the CPU and a GPU both call.
#ifdef __CUDACC__
#define NDL_BOTH __host__ __device__
#else
#define NDL_BOTH
#endif
