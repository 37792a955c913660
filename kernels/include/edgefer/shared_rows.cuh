// Rows of numbers brought into shared memory by a whole block.
#pragma once

#include "share.cuh"

namespace edgefer {

// Every block of these operations has so many threads.
constexpr int kBlockThreads = 256;

EDGEFER_DEVICE int thread_of_block() { return static_cast<int>(threadIdx.x); }

// Copies `count` rows of `length` elements, one after the other from `rows` on, to rows `stride` apart, each filled up
// with zeros to `padded`: what is added there must not be NaN. `shared` and `stride` are multiples of 16 bytes. A warp
// takes a row, so that no thread divides. Complete after copy_async_wait and a barrier.
template <class T>
EDGEFER_DEVICE void copy_rows(const T* rows, int count, int length, int padded, T* shared, int stride) {
    const int lane = thread_of_block() & 31;
    // Rows that begin at multiples of 16 bytes go 16 at a time; they have nothing to fill up.
    const bool whole = length == padded && reinterpret_cast<unsigned long long>(rows) % 16 == 0;
    for (int row = thread_of_block() >> 5; row < count; row += kBlockThreads >> 5) {
        const T* from = rows + static_cast<long long>(row) * length;
        T* to = shared + row * stride;
        if (whole) {
            for (int k = lane * kLanes<T>; k < length; k += 32 * kLanes<T>) {
                copy_async_16(to + k, from + k);
            }
        } else {
            for (int k = lane; k < padded; k += 32) {
                to[k] = k < length ? from[k] : from_float<T>(0.0f);
            }
        }
    }
}

}  // namespace edgefer
