// Fibers: a stack and a place in the program each, and a switch from one to another.
//
// On x86-64 the switch saves the registers that a call must keep (System V ABI, section 3.2.1) and takes nanoseconds;
// elsewhere, or with EDGEFER_UCONTEXT, it is swapcontext of the C library.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) && !defined(EDGEFER_UCONTEXT)
#define EDGEFER_UCONTEXT
#endif

#if defined(EDGEFER_UCONTEXT)
#include <ucontext.h>
#endif

namespace edgefer::host {

struct Fiber {
#if defined(EDGEFER_UCONTEXT)
    ucontext_t context;
#else
    void* stack_pointer;
#endif
};

constexpr std::size_t kStackBytes = 64 * 1024;

// The stacks of `count` fibers, each above a page that faults. Kept for later calls; null when memory is out.
unsigned char* stacks(unsigned int count);

// The fiber whose stack overflowed into `address`, or -1.
int overflowed(const void* address);

// Makes `fiber` begin with `function`, which never returns, on the stack of that index.
void prepare(Fiber& fiber, unsigned int index, void (*function)());

// Goes on where `to` was left, and keeps in `from` where this was.
void switch_fiber(Fiber& from, Fiber& to);

}  // namespace edgefer::host
