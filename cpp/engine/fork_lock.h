// The lock of what the engine keeps between runs (threads, recipes, spare memory). A fork waits for it, so that a child
// never finds it held by a thread that it doesn't have.
#pragma once

#include <mutex>

namespace nengo_dl {

std::mutex& fork_lock();  // held for moments only, and never while another lock is taken

// Calls `forget` in every child, before fork() returns there, with the lock held.
void on_fork(void (*forget)());

}  // namespace nengo_dl
