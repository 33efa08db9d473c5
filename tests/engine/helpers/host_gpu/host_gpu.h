// A GPU in plain C++, for tests: threads, blocks and clusters that wait for each other, streams and events. Memory is
// far_space.h's.
//
// What isn't ordered by a stream or an event takes place as late as it can: a stream does what it was told when
// somebody waits for it. NENGO_DL_HOST_GPU=early: as soon as it is told. Threads of a kernel take turns where they wait
// (threads.cpp): each, each warp and each block goes on as far as it can before the next does, backwards, every other
// one first; with NENGO_DL_HOST_GPU_FORWARDS forwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace host_gpu {

constexpr int kLanes = 32;
constexpr int64_t kBlockBytes = 227 << 10, kMostThreads = 1024, kMostCluster = 8;

struct Size {
  unsigned x = 1, y = 1, z = 1;
  constexpr Size(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// ---- for kernels: of the thread that calls

struct Here {
  Size thread, block, threads, blocks;
};
const Here& here();
int lane();                                              // within its warp
unsigned rank();                                         // of its block within the cluster
unsigned char* block_memory();                           // of its block
unsigned char* of_block(unsigned char* mine, int rank);  // the same place of another block of the cluster
bool wait_for_block(bool value);                         // whether any thread's is true
void wait_for_cluster();
const uint64_t* exchange(uint64_t value, unsigned lanes = 0xffffffffu);  // those of all lanes, until the next exchange
void let_others(const void* word);                                       // who waits for a word that others tell
void note_change();                                                      // of what others may wait for
void fetch(void* to, const void* from, size_t bytes);
void fetched();

// ---- for the host

struct Stream;
struct Event;

struct Launch {
  Size blocks;
  int64_t threads = 0, bytes = 0, cluster = 0;
  bool together = false;
  std::function<void()> thread;
};
int64_t processors();
int64_t clusters(int64_t size);  // that it has room for at a time
bool has_ptx();                  // whether what is compiled for it runs on GPUs that came later
// False: no GPU takes it.
bool start(Stream* stream, const Launch& launch);
void run(const Launch& launch);  // at once
// f, when the stream comes to it.
void enqueue(Stream* stream, std::function<void()> f);

}  // namespace host_gpu
