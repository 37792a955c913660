// Small kernels, most with one defect each: what the host's imitation of a GPU must find.
#pragma once

#include "edgefer/numeric.cuh"

struct PlantedParams {
    const float* x;
    const float* absent;
    float* y;
    signed char* q;
    float* workspace;
    int n;
};

namespace planted {

using namespace edgefer;

EDGEFER_DEVICE int me() { return static_cast<int>(threadIdx.x); }
EDGEFER_DEVICE int threads() { return static_cast<int>(blockDim.x); }
EDGEFER_DEVICE int at() { return static_cast<int>(blockIdx.x) * threads() + me(); }
EDGEFER_DEVICE int neighbour(int step) { return (me() + step) % threads(); }

// The value of the thread `step` further, by way of shared memory.
template <int step, bool with_barrier>
EDGEFER_DEVICE void rotate(const PlantedParams& p) {
    EDGEFER_SHARED(memory);
    float* shared = reinterpret_cast<float*>(memory);
    shared[me()] = p.x[at()];
    if constexpr (with_barrier) {
        __syncthreads();
    }
    p.y[at()] = shared[neighbour(step)];
}

// Twice through the same shared memory: the second round must wait until the first was read.
template <bool with_barrier>
EDGEFER_DEVICE void reuse(const PlantedParams& p) {
    EDGEFER_SHARED(memory);
    float* shared = reinterpret_cast<float*>(memory);
    shared[me()] = p.x[at()];
    __syncthreads();
    const float first = shared[neighbour(40)];
    if constexpr (with_barrier) {
        __syncthreads();
    }
    shared[me()] = 2.0f * p.x[at()];
    __syncthreads();
    p.y[at()] = first + shared[neighbour(1)];
}

EDGEFER_DEVICE void returns_before_a_barrier(const PlantedParams& p) {
    if (me() >= p.n) {
        return;
    }
    __syncthreads();
    p.y[at()] = 0.0f;
}

EDGEFER_DEVICE void two_barriers(const PlantedParams& p) {
    if (me() < p.n) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    p.y[at()] = 0.0f;
}

EDGEFER_DEVICE void ragged_shuffle(const PlantedParams& p) {
    float sum = 0.0f;
    for (int k = me(); k < p.n; k += threads()) {
        sum += __shfl_xor_sync(0xffffffffu, p.x[k], 1);
    }
    p.y[at()] = sum;
}

EDGEFER_DEVICE void shuffle_against_barrier(const PlantedParams& p) {
    if (me() % 32 < 16) {
        p.y[at()] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
    } else {
        __syncthreads();
    }
}

EDGEFER_DEVICE void not_in_its_mask(const PlantedParams& p) {
    p.y[at()] = __shfl_sync(0x0000ffffu, p.x[at()], 0);
}

EDGEFER_DEVICE void reads_past(const PlantedParams& p) { p.y[at()] = p.x[at() + 1]; }
EDGEFER_DEVICE void writes_past(const PlantedParams& p) { p.y[at() + 1] = 0.0f; }
EDGEFER_DEVICE void writes_before(const PlantedParams& p) { p.y[at() - 1] = 0.0f; }
EDGEFER_DEVICE void writes_input(const PlantedParams& p) { const_cast<float*>(p.x)[at()] = 0.0f; }
EDGEFER_DEVICE void reads_absent(const PlantedParams& p) { p.y[at()] = p.absent[at()]; }

EDGEFER_DEVICE void workspace_past(const PlantedParams& p) {
    p.workspace[at()] = 0.0f;
    p.y[at()] = p.workspace[at() + 1];
}

EDGEFER_DEVICE void shared_past(const PlantedParams& p) {
    EDGEFER_SHARED(memory);
    float* shared = reinterpret_cast<float*>(memory);
    shared[me() + p.n] = 1.0f;
    p.y[at()] = 0.0f;
}

EDGEFER_DEVICE void shared_before(const PlantedParams& p) {
    EDGEFER_SHARED(memory);
    float* shared = reinterpret_cast<float*>(memory);
    shared[me() - p.n] = 1.0f;
    p.y[at()] = 0.0f;
}

// Shared memory, the workspace and local arrays hold nothing at first.
EDGEFER_DEVICE void uninitialised(const PlantedParams& p) {
    EDGEFER_SHARED(memory);
    const float* shared = reinterpret_cast<const float*>(memory);
    p.y[at()] = p.n == 0 ? shared[me()] : p.workspace[at()];
}

// Each takes a 16-byte copy and reads what another thread copied.
template <bool with_wait, bool with_barrier>
EDGEFER_DEVICE void copies(const PlantedParams& p) {
    EDGEFER_SHARED(memory);
    float* shared = reinterpret_cast<float*>(memory);
    if (me() < threads() / 4) {
        copy_async_16(shared + 4 * me(), p.x + blockIdx.x * blockDim.x + 4 * me());
    }
    if constexpr (with_wait) {
        copy_async_wait();
    }
    if constexpr (with_barrier) {
        __syncthreads();
    }
    p.y[at()] = shared[neighbour(50)];
}

EDGEFER_DEVICE void waits_late(const PlantedParams& p) {
    EDGEFER_SHARED(memory);
    float* shared = reinterpret_cast<float*>(memory);
    if (me() < threads() / 4) {
        copy_async_16(shared + 4 * me(), p.x + blockIdx.x * blockDim.x + 4 * me());
    }
    __syncthreads();
    p.y[at()] = shared[neighbour(50)];
    copy_async_wait();
}

EDGEFER_DEVICE void copies_askew(const PlantedParams& p) {
    EDGEFER_SHARED(memory);
    copy_async_16(memory + 16 * me(), p.x + p.n);
    copy_async_wait();
    p.y[at()] = 0.0f;
}

EDGEFER_DEVICE void copies_past(const PlantedParams& p) {
    EDGEFER_SHARED(memory);
    copy_async_16(memory + 16 * (me() + p.n), p.x);
    copy_async_wait();
    p.y[at()] = 0.0f;
}

// 16 bytes at once from an address that is a multiple of 4 bytes only: right on a processor, a fault on a GPU.
EDGEFER_DEVICE void loads_askew(const PlantedParams& p) {
    const Pack<float> pack = load_pack(p.x + p.n);
    p.y[at()] = pack.element[me() % 4];
}

EDGEFER_DEVICE void array_past(const PlantedParams& p) {
    float values[4] = {1.0f, 2.0f, 3.0f, 4.0f};
    values[p.n] = p.x[at()];
    p.y[at()] = values[0] + values[3];
}

EDGEFER_DEVICE void integer_past(const PlantedParams& p) { p.y[at()] = static_cast<float>(p.n * p.n); }

// Every thread adds to one sum: each order of whole threads gives the right one.
EDGEFER_DEVICE void lost_update(const PlantedParams& p) {
    EDGEFER_SHARED(memory);
    float* shared = reinterpret_cast<float*>(memory);
    if (me() == 0) {
        shared[0] = 0.0f;
    }
    __syncthreads();
    shared[0] += p.x[at()];
    __syncthreads();
    p.y[at()] = shared[0];
}

// The lanes of a warp through shared memory, ordered by __syncwarp or by nothing.
template <bool with_barrier>
EDGEFER_DEVICE void within_warp(const PlantedParams& p) {
    EDGEFER_SHARED(memory);
    float* shared = reinterpret_cast<float*>(memory);
    shared[me()] = p.x[at()];
    if constexpr (with_barrier) {
        __syncwarp();
    }
    p.y[at()] = shared[me() ^ 1];
}

EDGEFER_DEVICE void between_blocks(const PlantedParams& p) {
    p.y[at()] = 0.0f;
    p.workspace[me()] = p.x[me()];
}

// The order in which the threads of a block came, through a counter that only the imitation's fibers respect.
EDGEFER_DEVICE void order(const PlantedParams& p) {
    EDGEFER_SHARED(memory);
    float* counter = reinterpret_cast<float*>(memory);
    if (!(counter[0] >= 0.0f)) {
        counter[0] = 0.0f;
    }
    p.y[at()] = counter[0];
    counter[0] += 1.0f;
}

EDGEFER_DEVICE void shuffles(const PlantedParams& p) {
    const unsigned int all = 0xffffffffu;
    const float x = p.x[at()];
    float* y = p.y + 8 * at();
    y[0] = __shfl_sync(all, x, 5);
    y[1] = __shfl_sync(all, x, 3, 8);
    y[2] = __shfl_xor_sync(all, x, 16);
    y[3] = static_cast<float>(__shfl_xor_sync(all, static_cast<int>(x), 1, 2));
    y[4] = __shfl_up_sync(all, x, 2u, 16);
    y[5] = static_cast<float>(__shfl_down_sync(all, static_cast<unsigned int>(x), 3u));
    y[6] = static_cast<float>(__popc(__ballot_sync(all, x > 4.0f)));
    y[7] = __any_sync(all, x > 1e6f) || !__all_sync(all, x >= 0.0f) ? 1.0f : 0.0f;
}

EDGEFER_DEVICE void half_of_int8(const PlantedParams& p) {
    if (at() % 2 == 0) {
        p.q[at()] = -1;
    }
}

EDGEFER_DEVICE void endless(const PlantedParams& p) {
    for (volatile int k = 0; k < 2; k = p.n) {
    }
    p.y[at()] = 0.0f;
}

EDGEFER_DEVICE void large_frame(const PlantedParams& p) {
    volatile float frame[40000];
    frame[p.n] = 1.0f;
    p.y[at()] = frame[p.n];
}

EDGEFER_DEVICE void one_of_two(const PlantedParams& p) {
    if (p.n == 0) {
        p.y[at()] = 0.0f;
    } else {
        p.y[at()] = 1.0f;
    }
}

EDGEFER_DEVICE void gives_up(const PlantedParams& p) {
    if (at() == p.n) {
        __trap();
    }
    p.y[at()] = 0.0f;
}

}  // namespace planted
