// The threads of a kernel: each has a stack of its own as soon as it waits for others, and they take turns on the
// thread of the host that runs the kernel.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "host_gpu.h"
#include "stack.h"

namespace host_gpu {
namespace {

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "host_gpu: %s\n", what);
  std::abort();
}

struct Barrier {
  int64_t due = 0, arrived = 0, passed = 0;
  char order[2] = {};                // of what came before and comes after, in turn
  bool seen = false, found = false;  // what the threads brought, and what those had that came before them
};

struct Fetch {
  char* to;
  const char* from;
  size_t bytes;
};

struct Thread {
  const Barrier* waits = nullptr;
  int64_t passed = 0;                 // how often that was passed when it came
  bool done = false, pauses = false;  // it lets others go on who tell what it waits for
  int block = 0;                      // of the blocks that are there
  Stack* stack = nullptr;             // none: it has not begun
  const void* word = nullptr;         // for which it waited last
  Here here;
  std::vector<Fetch> fetches;
};

struct Warp {
  Barrier barrier;
  uint64_t values[2][kLanes];  // an exchange's, and those of the one before
};

// Memory of a block: it ends where nobody may write or read.
class BlockMemory {
 public:
  BlockMemory() {
    void* const p =
        mmap(nullptr, kAll + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(static_cast<char*>(p) + kAll, kPage, PROT_NONE) != 0) fail("no memory for a block");
    end_ = static_cast<unsigned char*>(p) + kAll;
  }
  void begin(int64_t bytes) {
    if (closed_ && mprotect(end_ - kAll, kAll, PROT_READ | PROT_WRITE) != 0) fail("no memory for a block");
    closed_ = false;
    first_ = end_ - (bytes + 15) / 16 * 16;
    std::memset(first_, 0xff, static_cast<size_t>(end_ - first_));  // NaN
  }
  unsigned char* first() const { return first_; }
  void close() {  // who reaches for it from another block gets a signal
    if (mprotect(end_ - kAll, kAll, PROT_NONE) != 0) fail("memory of a block can't be closed");
    closed_ = true;
  }

 private:
  static constexpr int64_t kPage = 4096, kAll = (kBlockBytes + kPage - 1) / kPage * kPage;
  unsigned char *end_, *first_ = nullptr;
  bool closed_ = false;
};

struct Block {
  int64_t left;  // threads that have not ended
  Barrier barrier;
  std::vector<Warp> warps;
};

Thread* now = nullptr;  // whose turn it is; none: the host's
const Launch* launched = nullptr;
std::vector<Thread> threads;  // of the blocks that are there
std::vector<Block> blocks;
std::vector<std::unique_ptr<BlockMemory>> memories;
Barrier cluster_barrier;
std::vector<Stack*> spare;
Stack host;                   // of who gives turns to warps
char started = 0, ended = 0;  // the kernel
int64_t left = 0;             // threads that have not ended
// What has happened so far: turns taken, barriers passed, and all that somebody may wait for.
int64_t turns = 0, passes = 0, changes = 0;
bool forwards = false;

// The i-th of so many to go on.
int64_t in_order(int64_t i, int64_t count) {
  if (forwards) return i;
  const int64_t half = (count + 1) / 2;
  return i < half ? count - 1 - 2 * i : count - 2 - 2 * (i - half);
}

bool may_go_on(const Thread& thread) {
  return !thread.done && !thread.pauses && (!thread.waits || thread.waits->passed > thread.passed);
}

// A warp's threads that take turns, one after the other, again and again as long as they pass barriers.
struct Round {
  Thread* first = nullptr;
  int64_t count = 0, next = 0, before = 0;  // barriers passed
  Thread* take() {
    for (;; next = 0, before = passes) {
      while (next < count) {
        Thread& thread = first[in_order(next++, count)];
        if (may_go_on(thread)) return ++turns, &thread;
      }
      if (passes == before) return nullptr;
    }
  }
} of_warp;

void live();

// From who has a stack to the warp's next thread, or to the host.
void hand_on(Stack& mine) {
  now = of_warp.take();
  if (now && !now->stack) {
    now->stack = spare.empty() ? new Stack(live) : spare.back();
    if (!spare.empty()) spare.pop_back();
  }
  Stack& its = now ? *now->stack : host;
  if (&its != &mine) go(mine, its);
}

void let_go() { hand_on(*now->stack); }

void end(Thread& thread) {
  thread.done = true, --left, ++changes;
  spare.push_back(thread.stack);
  if (--blocks[thread.block].left == 0 && launched->cluster > 0) memories[thread.block]->close();
}

void live() {  // on a stack: one thread after the other
  for (;;) {
    comes_after(&started);
    launched->thread();
    comes_before(&ended);
    if (!now->fetches.empty()) fail("a thread ended that had fetched and not waited");
    end(*now);
    let_go();
  }
}

void arrive(Barrier& barrier, bool value) {
  char* const order = &barrier.order[barrier.passed % 2];
  comes_before(order);
  barrier.seen = barrier.seen || value;
  if (++barrier.arrived == barrier.due) {
    barrier.arrived = 0, ++barrier.passed, ++passes, ++changes;
    barrier.found = barrier.seen, barrier.seen = false;
  } else {
    Thread& me = *now;
    me.waits = &barrier, me.passed = barrier.passed;
    let_go();
    me.waits = nullptr;
  }
  comes_after(order);
}

// Threads `first` and `count` - 1 more, parts of so many of them: each part goes on as far as it can before the next
// does, so that who needs no other doesn't wait for it.
void go_on(int64_t first, int64_t count, int64_t part) {
  if (part == 1) {
    of_warp = {&threads[first], count, 0, passes};
    return hand_on(host);
  }
  const int64_t parts = (count + part - 1) / part;
  for (int64_t before = -1; passes != before;) {
    before = passes;
    for (int64_t i = 0; i < parts; ++i) {
      const int64_t begin = in_order(i, parts) * part;
      go_on(first + begin, std::min(part, count - begin), part > kLanes ? kLanes : 1);
    }
  }
}

// Until all threads are done.
void take_turns(int64_t of_block) {
  const auto all = static_cast<int64_t>(threads.size());
  int64_t idle = 0;
  for (left = all; left > 0;) {
    const int64_t turns_before = turns, changes_before = changes;
    go_on(0, all, of_block);
    if (turns == turns_before) fail("threads wait for some that have ended, or that wait for others");
    idle = changes == changes_before ? idle + 1 : 0;
    if (idle > 2) fail("all threads wait for words that nobody tells");
    for (Thread& thread : threads) thread.pauses = false;
  }
}

// Blocks `first` and `count` - 1 more, which are there together.
void run_blocks(const Launch& launch, int64_t first, int64_t count) {
  blocks.assign(count, {});
  while (static_cast<int64_t>(memories.size()) < count) memories.push_back(std::make_unique<BlockMemory>());
  threads.resize(count * launch.threads);
  spare.reserve(threads.size());  // here: ThreadSanitizer sees who allocates
  cluster_barrier = {count * launch.threads};
  for (int64_t b = 0; b < count; ++b) {
    blocks[b].left = blocks[b].barrier.due = launch.threads;
    blocks[b].warps.resize((launch.threads + kLanes - 1) / kLanes);
    memories[b]->begin(launch.bytes);
    for (int64_t i = 0; i < launch.threads; ++i) {
      Thread& thread = threads[b * launch.threads + i];
      thread.here.thread = Size(static_cast<unsigned>(i), 0, 0);
      thread.here.threads = Size(static_cast<unsigned>(launch.threads));
      thread.here.blocks = launch.blocks;
      const int64_t number = first + b;
      thread.here.block =
          Size(static_cast<unsigned>(number % launch.blocks.x), static_cast<unsigned>(number / launch.blocks.x), 0);
      thread.block = static_cast<int>(b), thread.stack = nullptr, thread.waits = nullptr,
      thread.done = thread.pauses = false, thread.word = nullptr;
      ++blocks[b].warps[i / kLanes].barrier.due;
    }
  }
  host.is_this();
  comes_before(&started);
  take_turns(launch.threads);
  comes_after(&ended);
}

Block& my_block() { return blocks[now->block]; }

}  // namespace

const Here& here() { return now->here; }
int lane() { return static_cast<int>(now->here.thread.x % kLanes); }
unsigned rank() { return launched->cluster > 0 ? static_cast<unsigned>(now->block) : 0; }
unsigned char* block_memory() { return memories[now->block]->first(); }
unsigned char* of_block(unsigned char* mine, int other) {
  if (other < 0 || other >= (launched->cluster > 0 ? launched->cluster : 1)) return nullptr;
  return memories[other]->first() + (mine - memories[now->block]->first());
}

bool wait_for_block(bool value) {
  Barrier& barrier = my_block().barrier;
  arrive(barrier, value);
  return barrier.found;
}
void wait_for_cluster() {
  if (launched->cluster > 0)
    arrive(cluster_barrier, false);
  else
    wait_for_block(false);
}
const uint64_t* exchange(uint64_t value, unsigned lanes) {
  Warp& warp = my_block().warps[now->here.thread.x / kLanes];
  if (lanes != 0xffffffffu || warp.barrier.due != kLanes) fail("a warp of which not all lanes take part");
  uint64_t* const values = warp.values[warp.barrier.passed % 2];
  values[lane()] = value;
  arrive(warp.barrier, false);
  return values;
}
void let_others(const void* word) {
  if (std::exchange(now->word, word) != word) note_change();  // it has heard the one before
  now->pauses = true;
  let_go();
}
void note_change() { ++changes; }

// What comes is there late; until then nobody can use what was there.
void fetch(void* to, const void* from, size_t bytes) {
  copies(to, from, bytes);
  std::memset(to, 0xff, bytes);
  now->fetches.push_back({static_cast<char*>(to), static_cast<const char*>(from), bytes});
}
void fetched() {
  for (const Fetch& f : now->fetches) {
    copies(f.to, f.from, f.bytes);
    std::memcpy(f.to, f.from, f.bytes);
  }
  now->fetches.clear();
}

void run(const Launch& launch) {
  launched = &launch, forwards = std::getenv("NENGO_DL_HOST_GPU_FORWARDS") != nullptr;
  const int64_t all = int64_t{launch.blocks.x} * launch.blocks.y;
  const int64_t count = launch.together ? all : launch.cluster > 0 ? launch.cluster : 1;
  for (int64_t i = 0; i < all / count; ++i) run_blocks(launch, in_order(i, all / count) * count, count);
}

}  // namespace host_gpu
