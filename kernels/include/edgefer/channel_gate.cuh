// The channel gate (squeeze-and-excite) in two launches or one: X times the sigmoid, or hard sigmoid, of a two-layer
// perceptron on the averages over the pixels. (Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, section 3.)
//
//   channel_gate_pool    grid (pool_bands, 1, images): sums of each band of pixels, to the workspace
//   channel_gate_apply   grid (tiles, 1, images): each block starts to copy its pixels of X and works out the gates of
//                        all channels from the workspace meanwhile
//   channel_gate_single  grid (1, 1, images): all of it, in place of these two, where an image fits in shared memory
#pragma once

#include "channel_gate_params.h"
#include "gated_write.cuh"
#include "mlp.cuh"
#include "pooling.cuh"

namespace edgefer {

// How a block of channel_gate_apply or channel_gate_single divides its shared memory; edgefer/kernels/channel_gate.py
// adds the same up.
template <class T>
struct ChannelGateMemory {
    T* copy;
    float* pooled;
    float* gate;     // times the scale of X
    float* hidden;
    float* scratch;  // the rest
    int pitch;

    EDGEFER_DEVICE ChannelGateMemory(unsigned char* shared, const ChannelGateParams& p) {
        const int bytes = p.copied ? p.tile_pixels * p.channels * static_cast<int>(sizeof(T)) : 0;
        copy = reinterpret_cast<T*>(shared);
        pitch = round_up_4(p.channels);
        pooled = reinterpret_cast<float*>(shared + (bytes + 15) / 16 * 16);
        gate = pooled + pitch;
        hidden = gate + pitch;
        scratch = hidden + round_up_4(p.hidden);
    }
};

EDGEFER_DEVICE long long image_offset(const ChannelGateParams& p) {
    return static_cast<long long>(blockIdx.z) * p.channels * p.pixels;
}

template <class W>
EDGEFER_DEVICE Mlp<W> mlp_of(const ChannelGateParams& p) {
    return {static_cast<const W*>(p.W1), static_cast<const W*>(p.b1), static_cast<const W*>(p.W2),
            static_cast<const W*>(p.b2), p.channels,                  p.hidden};
}

// The gates of all channels from their averages.
template <class T, class L, class W>
EDGEFER_DEVICE void channel_gates(const ChannelGateParams& p, const ChannelGateMemory<T>& memory) {
    gates_of<1, kGroup<T, L>>(mlp_of<W>(p), memory.pooled, memory.pitch, memory.hidden, memory.gate, [&p](float score) {
        if (p.hard) {
            return hard_sigmoid(p.alpha * score + p.beta) * p.x_scale;
        }
        return sigmoid(score) * p.x_scale;
    });
}

// The pixels of this block times the gates.
template <class T, class L, class U, class M>
EDGEFER_DEVICE void channel_gate_finish(const ChannelGateParams& p, const ChannelGateMemory<T>& memory,
                                        const View<T, L>& x, const Region& tile) {
    __syncthreads();
    Writing<T, U> writing;
    writing.gate = memory.gate;
    writing.spatial = nullptr;
    writing.residual = nullptr;
    writing.residual_scale = 1.0f;
    writing.relu = 0;
    writing.y = static_cast<U*>(p.Y) + image_offset(p);
    writing.y_scale = p.y_scale;
    writing.height = 1;
    writing.width = p.pixels;
    write_gated<T, L, U, M, false, false>(x, tile, writing);
}

template <class T, class L>
EDGEFER_DEVICE void channel_gate_pool(const ChannelGateParams& p) {
    EDGEFER_SHARED(shared);
    float* const scratch = reinterpret_cast<float*>(shared);
    const int pitch = round_up_4(p.channels);
    const int first = blockIdx.x * p.pool_pixels;
    const int end = first + p.pool_pixels < p.pixels ? first + p.pool_pixels : p.pixels;
    const T* const image = static_cast<const T*>(p.X) + image_offset(p);
    const int lanes = pool_pixels<T, L, false, false>(image, nullptr, p.channels, p.pixels, first, end, scratch);
    const long long band = static_cast<long long>(blockIdx.z) * p.pool_bands + blockIdx.x;
    reduce_lanes<false>(scratch, lanes, pitch, 1.0f, 1.0f, static_cast<float*>(p.workspace) + band * pitch);
}

template <class T, class L, class U, class M, class W>
EDGEFER_DEVICE void channel_gate_apply(const ChannelGateParams& p) {
    EDGEFER_SHARED(shared);
    const ChannelGateMemory<T> memory(shared, p);
    const Region tile = tile_of_block(1, p.tile_pixels, 1, p.pixels);
    const T* const image = static_cast<const T*>(p.X) + image_offset(p);
    View<T, L> x = {image, memory.copy, {0, 0, 1, p.pixels}, 0, p.channels};
    if constexpr (L::kChannelsTogether) {
        if (p.copied) {
            x.held = tile;
            x.copied = 1;
            copy_region_async<T, L>(memory.copy, image, tile, p.channels, 1, p.pixels);
        }
    }
    prefetch(mlp_of<W>(p));
    const float* const partial =
        static_cast<const float*>(p.workspace) + static_cast<long long>(blockIdx.z) * p.pool_bands * memory.pitch;
    const int lanes = pool_bands<false>(partial, p.pool_bands, memory.pitch, memory.scratch);
    const float average = __fdividef(p.x_scale, static_cast<float>(p.pixels));
    reduce_lanes<false>(memory.scratch, lanes, memory.pitch, average, 1.0f, memory.pooled);
    channel_gates<T, L, W>(p, memory);
    copy_async_wait();
    channel_gate_finish<T, L, U, M>(p, memory, x, tile);
}

template <class T, class L, class U, class M, class W>
EDGEFER_DEVICE void channel_gate_single(const ChannelGateParams& p) {
    EDGEFER_SHARED(shared);
    const ChannelGateMemory<T> memory(shared, p);
    const Region whole = {0, 0, 1, p.pixels};
    const T* const image = static_cast<const T*>(p.X) + image_offset(p);
    prefetch(mlp_of<W>(p));
    const int lanes =
        pool_pixels<T, L, false, true>(image, memory.copy, p.channels, p.pixels, 0, p.pixels, memory.scratch);
    const float average = __fdividef(p.x_scale, static_cast<float>(p.pixels));
    reduce_lanes<false>(memory.scratch, lanes, memory.pitch, average, 1.0f, memory.pooled);
    channel_gates<T, L, W>(p, memory);
    const View<T, L> x = {image, memory.copy, whole, 1, p.channels};
    channel_gate_finish<T, L, U, M>(p, memory, x, whole);
}

}  // namespace edgefer
