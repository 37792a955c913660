// Happens-before among the threads of a launch: two accesses of one byte, one of them a write, by two threads, with no
// barrier between them, are a race, whatever order the fibers ran in and whatever values came out.
//
// Works in libraries whose device code was compiled with -fsanitize=thread: g++ then calls a function before every
// access of memory, and these functions are in races.cpp in place of ThreadSanitizer's own library.
#pragma once

#include <cstddef>

#include "launch.hpp"

namespace edgefer::host::races {

// Called when a library is loaded whose device code reports its accesses.
void instrument();

// Watches shared memory and the buffers that the launch may write.
void begin_launch(const edgefer_host_launch& launch);
void begin_block();
void pass_barrier();

// An access of the thread that runs.
void access(const void* address, std::size_t bytes, bool write, const void* pc);

}  // namespace edgefer::host::races
