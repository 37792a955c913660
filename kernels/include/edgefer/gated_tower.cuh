// A tower's pooled features times their gate: what GatedPool does once and GatedFusion twice.
//
//   p = mean of F over the pixels      s = W p + b, or W p² + b      f = p · sigmoid(s)
//
// The matrix W outweighs everything else (512 KB of FP16 at C = 512, beside a map of 49 KB), so each block takes a few
// of its rows, once for all images of its tile. Either two launches, pool and gate, with the means in the workspace; or
// one in which every block pools the maps of its images itself, out of the L2 cache, while its rows of W are on their
// way. The plan takes the one launch where that should cost less than a second one would.
#pragma once

#include "pool_slice.cuh"
#include "product.cuh"

namespace edgefer {

struct Tower {
    const void* map;
    const void* weight;
    const void* bias;
    float* means;  // in the workspace, (N, padded)
    float scale;
    int square;
    int pixels;
    void* output;  // of this tower's channel 0 in image 0
    int image_stride;
    int channel_stride;
    const void* mask;  // (N, 2) or null
    int mask_half;
    int mask_column;
};

// What the tower's features of one image are multiplied with. A product as in the operator's definition, so that a
// tower with NaN in it stays NaN under a mask of 0.
EDGEFER_DEVICE float presence(const Tower& tower, int image) {
    if (tower.mask == nullptr) {
        return 1.0f;
    }
    const int index = 2 * image + tower.mask_column;
    if (tower.mask_half != 0) {
        return to_float(static_cast<const __half*>(tower.mask)[index]);
    }
    return static_cast<const float*>(tower.mask)[index];
}

template <class P>
EDGEFER_DEVICE PoolShape pool_shape(const P& p, const Tower& tower) {
    return {p.channels, p.padded, tower.pixels, p.across};
}

// The images of this block's tile.
template <class P>
EDGEFER_DEVICE int tile_images(const P& p) {
    return min(p.columns, p.images - static_cast<int>(blockIdx.y) * p.columns);
}

// Starts the copies of this block's rows of W.
template <class V, class P>
EDGEFER_DEVICE void copy_weights(const P& p, const Tower& tower, V* weights) {
    const int first = static_cast<int>(blockIdx.x) * p.rows;
    const V* rows = static_cast<const V*>(tower.weight) + static_cast<long long>(first) * p.channels;
    copy_rows(rows, min(p.rows, p.channels - first), p.channels, p.padded, weights, p.row_stride);
}

// Gates and writes the block's rows for its images, from weights and means in shared memory.
template <class V, class P>
EDGEFER_DEVICE void gate_rows(
    const P& p, const Tower& tower, const V* weights, const float* means, float* partial) {
    const ProductTile tile = {p.rows, p.quads, p.padded, p.row_stride, p.column_stride};
    const int count = tile_images(p);
    dot_products(tile, weights, means, count, tower.square != 0, partial);
    __syncthreads();
    for (int index = thread_of_block(); index < p.rows * count; index += kBlockThreads) {
        const int row = index & (p.rows - 1);
        const int column = index / p.rows;
        const int channel = static_cast<int>(blockIdx.x) * p.rows + row;
        const int image = static_cast<int>(blockIdx.y) * p.columns + column;
        if (channel < p.channels) {
            const float bias = to_float(static_cast<const V*>(tower.bias)[channel]);
            const float gate = sigmoid(product(tile, partial, row, column) + bias);
            const float value = means[column * p.column_stride + channel] * gate * presence(tower, image);
            V* output = static_cast<V*>(tower.output) + static_cast<long long>(image) * tower.image_stride;
            output[static_cast<long long>(channel) * tower.channel_stride] = from_float<V>(value);
        }
    }
}

// First of two launches, grid (slices of channels, images, towers): means into the workspace.
template <class T, class L, class P>
EDGEFER_DEVICE void tower_pool(const P& p, const Tower& tower) {
    EDGEFER_SHARED(shared);
    const long long image = static_cast<long long>(blockIdx.y);
    const T* map = static_cast<const T*>(tower.map) + image * p.channels * tower.pixels;
    const int first = static_cast<int>(blockIdx.x) * p.across * kGroup<T, L>;
    pool_slice<T, L>(pool_shape(p, tower), map, first, tower.scale, reinterpret_cast<float*>(shared),
                     tower.means + image * p.padded);
}

// Second of two launches, grid (tiles of rows, tiles of images, towers). Shared memory: weights, means, partial sums.
template <class V, class P>
EDGEFER_DEVICE void tower_gate(const P& p, const Tower& tower) {
    EDGEFER_SHARED(shared);
    V* weights = reinterpret_cast<V*>(shared);
    float* means = reinterpret_cast<float*>(weights + p.rows * p.row_stride);
    float* partial = means + p.columns * p.column_stride;
    copy_weights(p, tower, weights);
    const float* pooled = tower.means + static_cast<long long>(blockIdx.y) * p.columns * p.padded;
    copy_rows(pooled, tile_images(p), p.padded, p.padded, means, p.column_stride);
    copy_async_wait();
    __syncthreads();
    gate_rows(p, tower, weights, means, partial);
}

// The only launch, of the grid of `tower_gate`. Shared memory: weights, means, and what pooling and then the product
// need. The layout has channels together, so nothing is padded.
template <class T, class L, class V, class P>
EDGEFER_DEVICE void tower_whole(const P& p, const Tower& tower) {
    EDGEFER_SHARED(shared);
    V* weights = reinterpret_cast<V*>(shared);
    float* means = reinterpret_cast<float*>(weights + p.rows * p.row_stride);
    float* scratch = means + p.columns * p.column_stride;
    copy_weights(p, tower, weights);
    const T* maps = static_cast<const T*>(tower.map);
    const int count = tile_images(p);
    for (int column = 0; column < count; ++column) {
        const long long image = static_cast<long long>(blockIdx.y) * p.columns + column;
        for (int first = 0; first < p.channels; first += p.across * kGroup<T, L>) {
            if (column + first > 0) {
                // The last slice's sums are still being read.
                __syncthreads();
            }
            pool_slice<T, L>(pool_shape(p, tower), maps + image * p.channels * tower.pixels, first, tower.scale,
                             scratch, means + column * p.column_stride);
        }
    }
    copy_async_wait();
    __syncthreads();
    gate_rows(p, tower, weights, means, scratch);
}

}  // namespace edgefer
