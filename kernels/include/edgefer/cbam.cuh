// CBAM in two launches or one: the channel gate from average and maximum over the pixels through a shared MLP, the
// spatial gate from maximum and mean over the channels, both applied to X; plus a residual, ReLU, and INT8 if wanted.
// (Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018, section 3.)
//
//   cbam_pool    grid (pool_bands, 1, images): sums and maxima of each band of pixels, to the workspace
//   cbam_apply   grid (tiles across, tiles down, images): each block starts to copy its tile of X and what surrounds
//                it, works out the gates of all channels from the workspace meanwhile, then its tile's spatial gates
//   cbam_single  grid (1, 1, images): all of it, in place of these two, where an image fits in shared memory
//
// A block computes what it needs of its neighbours' pixels again, so blocks never wait for each other.
#pragma once

#include "cbam_params.h"
#include "gated_write.cuh"
#include "mlp.cuh"
#include "pooling.cuh"
#include "spatial_gate.cuh"

namespace edgefer {

// How a block of cbam_apply or cbam_single divides its shared memory; edgefer/kernels/cbam.py adds the same up.
template <class T>
struct CbamMemory {
    T* copy;
    float* pooled;   // averages, then maxima
    float* gate;     // times the scale of X
    float* hidden;
    float* weights;  // of the spatial convolution
    float* spatial;
    float* maps;
    float* scratch;  // the rest
    int pitch;

    EDGEFER_DEVICE CbamMemory(unsigned char* shared, const CbamParams& p) {
        const int border = p.kernel / 2 * 2;
        const int rows = p.tile_rows + border < p.height ? p.tile_rows + border : p.height;
        const int columns = p.tile_columns + border < p.width ? p.tile_columns + border : p.width;
        const int bytes = p.copied ? rows * columns * p.channels * static_cast<int>(sizeof(T)) : 0;
        copy = reinterpret_cast<T*>(shared);
        pitch = round_up_4(p.channels);
        pooled = reinterpret_cast<float*>(shared + (bytes + 15) / 16 * 16);
        gate = pooled + 2 * pitch;
        hidden = gate + pitch;
        weights = hidden + round_up_4(p.hidden);
        spatial = weights + 2 * p.kernel * kWeightPitch;
        maps = spatial + round_up_4(p.tile_rows * p.tile_columns);
        scratch = maps + round_up_4(2 * (p.tile_rows + border) * (p.tile_columns + border));
    }
};

EDGEFER_DEVICE long long image_offset(const CbamParams& p) {
    return static_cast<long long>(blockIdx.z) * p.channels * p.height * p.width;
}

EDGEFER_DEVICE Maps maps_of(const CbamParams& p, const Region& tile, float* memory) {
    const int radius = p.kernel / 2;
    Maps maps;
    maps.first = memory;
    maps.pitch = p.tile_columns + 2 * radius;
    maps.plane = (p.tile_rows + 2 * radius) * maps.pitch;
    maps.row = tile.row - radius;
    maps.column = tile.column - radius;
    return maps;
}

template <class W>
EDGEFER_DEVICE Mlp<W> mlp_of(const CbamParams& p) {
    return {static_cast<const W*>(p.W1), static_cast<const W*>(p.b1), static_cast<const W*>(p.W2),
            static_cast<const W*>(p.b2), p.channels,                  p.hidden};
}

// What depends on no pixel: the maps' zeros, and all but X on its way here. Returns this thread's spatial weight.
template <class T, class L, class W>
EDGEFER_DEVICE float cbam_begin(const CbamParams& p, const CbamMemory<T>& memory, const Region& tile) {
    const float weight = read_spatial_weight(static_cast<const W*>(p.Ws), static_cast<const W*>(p.bs), p.kernel);
    prefetch(mlp_of<W>(p));
    clear_maps(maps_of(p, tile, memory.maps));
    if constexpr (L::kChannelsTogether) {
        if (p.R != nullptr) {
            const T* const image = static_cast<const T*>(p.R) + image_offset(p);
            prefetch_region<T, L>(image, tile, p.channels, p.height, p.width);
        }
    }
    return weight;
}

// The gates of all channels from their averages and maxima.
template <class T, class L, class W>
EDGEFER_DEVICE void cbam_channel_gates(const CbamParams& p, const CbamMemory<T>& memory) {
    const float scale = p.x_scale;
    gates_of<2, kGroup<T, L>>(mlp_of<W>(p), memory.pooled, memory.pitch, memory.hidden, memory.gate,
                              [scale](float score) { return sigmoid(score) * scale; });
}

// From the channels' gates to the output: for the tile of this block, whose surroundings are `halo`.
template <class T, class L, class U, class M>
EDGEFER_DEVICE void cbam_finish(const CbamParams& p, const CbamMemory<T>& memory, const View<T, L>& x,
                                const Region& tile, const Region& halo) {
    const Maps maps = maps_of(p, tile, memory.maps);
    const long long image = image_offset(p);
    __syncthreads();
    fill_maps(x, halo, memory.gate, maps);
    __syncthreads();
    spatial_gates(p.kernel, maps, tile, memory.weights, memory.spatial);
    __syncthreads();
    Writing<T, U> writing;
    writing.gate = memory.gate;
    writing.spatial = memory.spatial;
    writing.residual = p.R == nullptr ? nullptr : static_cast<const T*>(p.R) + image;
    writing.residual_scale = p.r_scale;
    writing.relu = p.relu;
    writing.y = static_cast<U*>(p.Y) + image;
    writing.y_scale = p.y_scale;
    writing.height = p.height;
    writing.width = p.width;
    if (p.R != nullptr) {
        write_gated<T, L, U, M, true, true>(x, tile, writing);
    } else {
        write_gated<T, L, U, M, true, false>(x, tile, writing);
    }
}

template <class T, class L>
EDGEFER_DEVICE void cbam_pool(const CbamParams& p) {
    EDGEFER_SHARED(shared);
    float* const scratch = reinterpret_cast<float*>(shared);
    const int pitch = round_up_4(p.channels);
    const int pixels = p.height * p.width;
    const int first = blockIdx.x * p.pool_pixels;
    const int end = first + p.pool_pixels < pixels ? first + p.pool_pixels : pixels;
    const T* const image = static_cast<const T*>(p.X) + image_offset(p);
    const int lanes = pool_pixels<T, L, true, false>(image, nullptr, p.channels, pixels, first, end, scratch);
    const long long band = static_cast<long long>(blockIdx.z) * p.pool_bands + blockIdx.x;
    reduce_lanes<true>(scratch, lanes, pitch, 1.0f, 1.0f, static_cast<float*>(p.workspace) + band * 2 * pitch);
}

template <class T, class L, class U, class M, class W>
EDGEFER_DEVICE void cbam_apply(const CbamParams& p) {
    EDGEFER_SHARED(shared);
    const CbamMemory<T> memory(shared, p);
    const Region tile = tile_of_block(p.tile_rows, p.tile_columns, p.height, p.width);
    const Region halo = with_halo(tile, p.kernel / 2, p.height, p.width);
    const T* const image = static_cast<const T*>(p.X) + image_offset(p);
    View<T, L> x = {image, memory.copy, {0, 0, p.height, p.width}, 0, p.channels};
    if constexpr (L::kChannelsTogether) {
        if (p.copied) {
            x.held = halo;
            x.copied = 1;
            copy_region_async<T, L>(memory.copy, image, halo, p.channels, p.height, p.width);
        }
    }
    const float weight = cbam_begin<T, L, W>(p, memory, tile);
    const float* const partial =
        static_cast<const float*>(p.workspace) + static_cast<long long>(blockIdx.z) * p.pool_bands * 2 * memory.pitch;
    const int lanes = pool_bands<true>(partial, p.pool_bands, memory.pitch, memory.scratch);
    const float average = __fdividef(p.x_scale, static_cast<float>(p.height * p.width));
    reduce_lanes<true>(memory.scratch, lanes, memory.pitch, average, p.x_scale, memory.pooled);
    store_spatial_weight(weight, p.kernel, memory.weights);
    cbam_channel_gates<T, L, W>(p, memory);
    copy_async_wait();
    cbam_finish<T, L, U, M>(p, memory, x, tile, halo);
}

template <class T, class L, class U, class M, class W>
EDGEFER_DEVICE void cbam_single(const CbamParams& p) {
    EDGEFER_SHARED(shared);
    const CbamMemory<T> memory(shared, p);
    const Region whole = {0, 0, p.height, p.width};
    const int pixels = p.height * p.width;
    const T* const image = static_cast<const T*>(p.X) + image_offset(p);
    const float weight = cbam_begin<T, L, W>(p, memory, whole);
    const int lanes =
        pool_pixels<T, L, true, true>(image, memory.copy, p.channels, pixels, 0, pixels, memory.scratch);
    const float average = __fdividef(p.x_scale, static_cast<float>(pixels));
    reduce_lanes<true>(memory.scratch, lanes, memory.pitch, average, p.x_scale, memory.pooled);
    store_spatial_weight(weight, p.kernel, memory.weights);
    cbam_channel_gates<T, L, W>(p, memory);
    const View<T, L> x = {image, memory.copy, whole, 1, p.channels};
    cbam_finish<T, L, U, M>(p, memory, x, whole, whole);
}

}  // namespace edgefer
