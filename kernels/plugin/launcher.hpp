// From a plan to launches on a stream.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <vector>

#include "plan.hpp"

namespace edgefer {

// The kernels of a plan, loaded into one context, so that nothing but launches is left to do. `context` is that
// context's number.
struct Loaded {
    unsigned long long context = 0;
    std::vector<Launch> launches;
    std::vector<CUfunction> functions;
};

// The GPU and the number of the calling thread's context.
//
// Throws Failure: there is no driver or no GPU, or the driver reports an error.
Gpu current_gpu();
unsigned long long current_context();

// Loads the binary for the calling thread's context, where it is not loaded yet; and the kernels of a plan. Neither may
// be done while a graph is captured: a driver refuses to load then.
//
// Throws Failure: no binary for this GPU, or the driver refuses it.
void load_binary();
Loaded load(const std::vector<Launch>& launches);

// Launches all on a stream, each with the same parameters, passed by value.
//
// Throws Failure: the driver reports an error. Errors of kernels that run later show at the caller's next
// synchronisation, as with every asynchronous work.
void launch(const Loaded& loaded, CUstream stream, void* parameters);

}  // namespace edgefer
