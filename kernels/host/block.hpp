// What device code on the host asks of whoever runs it: which thread is this, where is its shared memory, and every
// point at which threads of a block meet. The rest of the imitation hides behind these declarations.
#pragma once

#include <cstddef>
#include <cstdint>

#include "launch.hpp"

// Known to be in this library, so that threadIdx is a load and not two.
#pragma GCC visibility push(hidden)

namespace edgefer::host {

// Where in the source a call stands.
struct Site {
    const char* file;
    int line;
};

struct Index {
    unsigned int x, y, z;
};

// Those of the thread that runs.
extern Index thread_index;
extern Index block_index;
extern Index block_size;
extern Index grid_size;

extern unsigned char* shared_begin;
extern unsigned char* shared_end;

// Every thread of the block comes here before one leaves.
void barrier(Site site);

// Every lane of `mask` comes here before one leaves.
void warp_barrier(Site site, unsigned int mask);

// Every lane of `mask` hands in `bits` and gets those of lane `source`; all bits set where that lane is not in `mask`.
std::uint64_t exchange(Site site, unsigned int mask, std::uint64_t bits, int source);

// Every lane of `mask` hands in a truth value and gets the set of lanes that handed in a true one.
unsigned int vote(Site site, unsigned int mask, bool value);

void copy_start(Site site, void* shared, const void* global);
void copy_wait(Site site);

// Device code into which defects were planted (kernels/tools/mutants.py) asks whether one of them is on: 1 or 0.
extern int chosen_mutant;
inline int mutant(int number) {
    edgefer_host_reached[number] = 1;
    return chosen_mutant == number ? 1 : 0;
}

// __trap(): the kernel gives up.
[[noreturn]] void trap(Site site);

inline int lane() { return static_cast<int>(thread_index.x & 31u); }

}  // namespace edgefer::host

#pragma GCC visibility pop
