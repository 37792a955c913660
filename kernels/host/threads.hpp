// The threads of the block that runs, and what each waits for.
#pragma once

#include <cstdint>
#include <vector>

#include "block.hpp"
#include "fiber.hpp"
#include "ready.hpp"

namespace edgefer::host {

enum class State : unsigned char { kReady, kAtBarrier, kInWarp, kDone };

struct Copy {
    void* shared;
    const void* global;
};

struct Thread {
    Fiber fiber;
    State state;
    Site site;                   // where it waits, or waited last
    unsigned int mask;           // the lanes that it waits for
    int source;                  // the lane whose bits it asked for
    std::uint64_t bits;          // handed in, then handed out
    std::uint32_t warp_epoch;    // how many barriers of its whole warp it has passed
    std::vector<Copy> copies;    // started and not waited for
};

extern Thread threads[kMaxThreads];
extern unsigned int thread_count;
extern Ready ready;
extern Schedule schedule;
extern Random random_source;

// Runs one block of `count` threads through `kernel`; false where the report says what went wrong.
bool run_block(void (*kernel)(const void*), const void* parameters, unsigned int count);

// Called when no thread can go on and not all are done: opens the barrier that all wait at, or reports why it cannot.
bool open_barrier();

}  // namespace edgefer::host
