// What the kernels take from their surroundings: CUDA's own built-ins on a GPU, the host's imitation of them in tests.
//
// All shared memory is dynamic, so that the launch plan states it and a test can put a guard behind it.
#pragma once

#if defined(EDGEFER_HOST)
#include "edgefer_host.hpp"
#else
#include <cuda_fp16.h>

#define EDGEFER_DEVICE __device__ __forceinline__
// Parameters stay in the constant bank: taking them by reference makes no copy in local memory.
#define EDGEFER_PARAMETERS const __grid_constant__
#define EDGEFER_SHARED(name) extern __shared__ __align__(16) unsigned char name[]

namespace edgefer {

// Starts a copy of 16 bytes from global to shared memory; both addresses are multiples of 16.
EDGEFER_DEVICE void copy_async_16(void* shared, const void* global) {
    const unsigned int address = static_cast<unsigned int>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(global) : "memory");
}

// Starts to bring the line of memory with this address into the L2 cache.
EDGEFER_DEVICE void prefetch_line(const void* global) { asm volatile("prefetch.global.L2 [%0];" ::"l"(global)); }

// Waits for the copies that this thread started; a barrier makes them visible to the others.
EDGEFER_DEVICE void copy_async_wait() { asm volatile("cp.async.wait_all;" ::: "memory"); }

}  // namespace edgefer
#endif

namespace edgefer {

// Bytes that `prefetch_line` brings.
constexpr int kCacheLine = 128;

}  // namespace edgefer
