// Means of some channels of a map over all of its pixels, by a whole block. Where a block has all channels and some of
// the pixels instead, pooling.cuh is what it needs.
#pragma once

#include "shared_rows.cuh"

namespace edgefer {

// Where the channels of a map lie, and how a block takes them.
struct PoolShape {
    int channels;
    int padded;  // channels for which something is written: zero for those that there are not
    int pixels;
    int across;  // groups of channels that the block takes side by side, a power of two; other threads share a group
};

// Writes means[channel] for the `across` groups from channel `first` on. Neighbouring threads take what lies together:
// neighbouring channels, or neighbouring pixels of a linear map. `scratch` has kGroup floats for each thread, and may
// be used again after a barrier.
template <class T, class L>
EDGEFER_DEVICE void pool_slice(
    const PoolShape& shape, const T* image, int first, float scale, float* scratch, float* means) {
    const int lanes = kBlockThreads / shape.across;
    int group = thread_of_block() / lanes;
    int lane = thread_of_block() & (lanes - 1);
    if constexpr (L::kChannelsTogether) {
        group = thread_of_block() & (shape.across - 1);
        lane = thread_of_block() / shape.across;
    }
    const int channel = first + group * kGroup<T, L>;
    float sum[kGroup<T, L>] = {};
    if (channel < shape.channels) {
#pragma unroll 4
        for (int pixel = lane; pixel < shape.pixels; pixel += lanes) {
            float value[kGroup<T, L>];
            load_group<T, L>(image, L::offset(channel, pixel, shape.channels, shape.pixels), 1.0f, value);
#pragma unroll
            for (int k = 0; k < kGroup<T, L>; ++k) {
                sum[k] += value[k];
            }
        }
    }
    store_floats(scratch + (lane * shape.across + group) * kGroup<T, L>, sum);
    __syncthreads();
    const int width = shape.across * kGroup<T, L>;
    for (int k = thread_of_block(); k < width && first + k < shape.padded; k += kBlockThreads) {
        float total = 0.0f;
        for (int part = 0; part < lanes; ++part) {
            total += scratch[part * width + k];
        }
        means[first + k] = total * scale / static_cast<float>(shape.pixels);
    }
}

}  // namespace edgefer
