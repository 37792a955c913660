// The shared memory of the block that runs: it ends at a page that faults, and is full of NaN when a block begins.
#pragma once

#include <cstddef>

namespace edgefer::host {

// Maps memory for blocks of so many bytes; false when memory is out.
bool map_shared(std::size_t bytes);

// Fills it with 0xFF: what is read before it is written is a NaN or -1.
void poison_shared();

// Whether bytes around it that belong to no one were written: below its begin, or in the bytes to the next 16.
bool shared_overrun();

}  // namespace edgefer::host
