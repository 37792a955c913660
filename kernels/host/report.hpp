// What can be wrong with a kernel, and how it is said: the first finding ends the launch.
#pragma once

#include "block.hpp"
#include "launch.hpp"

namespace edgefer::host {

// In the order of kernels/tools/faults.py.
enum Kind : int {
    kNone,
    kOutOfBounds,
    kDivergentBarrier,
    kDifferentBarriers,
    kLaneLeft,
    kCopyNotWaited,
    kMisaligned,
    kUndefined,
    kRace,
    kTimeout,
    kTrap,
    kHost,
};

extern edgefer_host_report* report;

// Whether a fiber of the kernel runs, as opposed to the scheduler.
extern bool in_thread;

// Where the runtime reads memory on behalf of a thread; the file is null elsewhere.
extern Site probed;

// Writes the report, unless there is one.
__attribute__((format(printf, 3, 4))) void record(Kind kind, Site site, const char* format, ...);

// Leaves the fiber for good; the scheduler sees the report and ends the launch.
[[noreturn]] void leave();

}  // namespace edgefer::host
