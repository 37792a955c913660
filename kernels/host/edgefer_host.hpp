// CUDA's surroundings for device code that g++ compiles: with EDGEFER_HOST, platform.cuh takes this in place of CUDA's.
//
// Each CUDA thread is a fiber, and blocks run one after the other (threads.cpp). Barriers and shuffles are macros, so
// that a fault can name the line of the kernel at which it happened.
#pragma once

#include <cmath>
#include <cstdint>

#include <cuda_fp16.h>

#include "block.hpp"
#include "intrinsics.hpp"
#include "shuffles.hpp"

#define EDGEFER_DEVICE inline
#define EDGEFER_PARAMETERS const
#define EDGEFER_SHARED(name) [[maybe_unused]] unsigned char* const name = ::edgefer::host::shared_begin

// A static array would be one a thread here: all shared memory is dynamic.
#undef __shared__
#define __shared__ EDGEFER_SHARED_is_the_only_shared_memory

#define threadIdx (::edgefer::host::thread_index)
#define blockIdx (::edgefer::host::block_index)
#define blockDim (::edgefer::host::block_size)
#define gridDim (::edgefer::host::grid_size)
#define warpSize 32

#define EDGEFER_HERE (::edgefer::host::Site{__FILE__, __LINE__})
#define __syncthreads() ::edgefer::host::barrier(EDGEFER_HERE)
#define __syncwarp(...) ::edgefer::host::warp_barrier(EDGEFER_HERE, ::edgefer::host::mask_of(__VA_ARGS__))
#define __shfl_sync(...) ::edgefer::host::shuffle(EDGEFER_HERE, __VA_ARGS__)
#define __shfl_xor_sync(...) ::edgefer::host::shuffle_xor(EDGEFER_HERE, __VA_ARGS__)
#define __shfl_up_sync(...) ::edgefer::host::shuffle_up(EDGEFER_HERE, __VA_ARGS__)
#define __shfl_down_sync(...) ::edgefer::host::shuffle_down(EDGEFER_HERE, __VA_ARGS__)
#define __ballot_sync(mask, value) ::edgefer::host::vote(EDGEFER_HERE, mask, value)
#define __any_sync(mask, value) (::edgefer::host::vote(EDGEFER_HERE, mask, value) != 0u)
#define __all_sync(mask, value) (::edgefer::host::vote(EDGEFER_HERE, mask, !(value)) == 0u)
#define __trap() ::edgefer::host::trap(EDGEFER_HERE)

// As in platform.cuh: started at the first, performed at the second at the latest. Macros, for the line of the caller;
// they also take `edgefer::copy_async_16(...)`.
#define copy_async_16(...) host::copy_start(EDGEFER_HERE, __VA_ARGS__)
#define copy_async_wait() host::copy_wait(EDGEFER_HERE)

namespace edgefer {

// There is no cache to bring anything into.
inline void prefetch_line(const void* /*global*/) {}

}  // namespace edgefer
