// LocalGate: z + z * sigmoid(W2 relu(W1 z + b1) + b2) at every pixel, then the mean over the pixels.
//
// Two matrix products with an activation between, so two launches, and each splits the rows of its matrix among blocks:
//
//   hidden  grid (tiles of W1's rows, tiles of pixels, images): relu(W1 z + b1) into the workspace, as floats
//   gate    grid (tiles of W2's rows, images): a block gates its channels at all pixels, one tile after the other, so
//           that the mean over them is its own and no block waits for another
//
// A block that took some pixels through both products would read both matrices whole, 256 KB of FP16 at 512 channels
// and 128 hidden ones, and would leave partial means for a second launch all the same.
#pragma once

#include "local_gate_params.h"
#include "product.cuh"

namespace edgefer {

// Some channels of some pixels of a map.
struct Window {
    int channels;  // of the map
    int pixels;    // of the map
    int first_channel;
    int width;  // channels; beyond those of the map there are zeros
    int first_pixel;
    int count;
};

// Stores them as floats, `stride` from one pixel to the next. Neighbouring threads take what lies together.
template <class T, class L>
EDGEFER_DEVICE void load_window(const T* image, const Window& window, float scale, float* to, int stride) {
    const int groups = window.width / kGroup<T, L>;
    for (int index = thread_of_block(); index < groups * window.count; index += kBlockThreads) {
        const int group = L::kChannelsTogether ? index % groups : index / window.count;
        const int pixel = L::kChannelsTogether ? index / groups : index % window.count;
        const int channel = window.first_channel + group * kGroup<T, L>;
        float value[kGroup<T, L>] = {};
        if (channel < window.channels) {
            const long long offset = L::offset(channel, window.first_pixel + pixel, window.channels, window.pixels);
            load_group<T, L>(image, offset, scale, value);
        }
        store_floats(to + pixel * stride + group * kGroup<T, L>, value);
    }
}

// Shared memory: rows of W1, pixels, partial sums.
template <class T, class L, class V>
EDGEFER_DEVICE void local_gate_hidden(const LocalGateParams& p) {
    EDGEFER_SHARED(shared);
    V* weights = reinterpret_cast<V*>(shared);
    float* columns = reinterpret_cast<float*>(weights + p.rows1 * p.row_stride1);
    float* partial = columns + p.columns1 * p.column_stride1;

    const int first = static_cast<int>(blockIdx.x) * p.rows1;
    const int first_pixel = static_cast<int>(blockIdx.y) * p.columns1;
    const int count = min(p.columns1, p.pixels - first_pixel);
    const long long image = static_cast<long long>(blockIdx.z);
    const V* rows = static_cast<const V*>(p.W1) + static_cast<long long>(first) * p.channels;
    copy_rows(rows, min(p.rows1, p.hidden - first), p.channels, p.padded, weights, p.row_stride1);
    const Window window = {p.channels, p.pixels, 0, p.padded, first_pixel, count};
    load_window<T, L>(static_cast<const T*>(p.Z) + image * p.channels * p.pixels, window, p.x_scale, columns,
                      p.column_stride1);
    copy_async_wait();
    __syncthreads();

    const ProductTile tile = {p.rows1, p.quads1, p.padded, p.row_stride1, p.column_stride1};
    dot_products(tile, weights, columns, count, false, partial);
    __syncthreads();
    float* hidden = p.workspace + (image * p.pixels + first_pixel) * p.hidden_padded;
    for (int index = thread_of_block(); index < p.rows1 * count; index += kBlockThreads) {
        const int row = index & (p.rows1 - 1);
        const int column = index / p.rows1;
        if (first + row < p.hidden_padded) {
            float value = 0.0f;
            if (first + row < p.hidden) {
                const float bias = to_float(static_cast<const V*>(p.b1)[first + row]);
                value = relu(product(tile, partial, row, column) + bias);
            }
            hidden[static_cast<long long>(column) * p.hidden_padded + first + row] = value;
        }
    }
}

// Shared memory: rows of W2, hidden activations, the block's channels of the same pixels, partial sums.
template <class T, class L, class V>
EDGEFER_DEVICE void local_gate_gate(const LocalGateParams& p) {
    EDGEFER_SHARED(shared);
    V* weights = reinterpret_cast<V*>(shared);
    float* columns = reinterpret_cast<float*>(weights + p.rows2 * p.row_stride2);
    // At least as many as there are threads: the last sums go there.
    float* values = columns + max(p.columns2 * p.column_stride2, kBlockThreads);
    float* partial = values + p.columns2 * p.rows2;

    const int first = static_cast<int>(blockIdx.x) * p.rows2;
    const long long image = static_cast<long long>(blockIdx.y);
    const V* rows = static_cast<const V*>(p.W2) + static_cast<long long>(first) * p.hidden;
    copy_rows(rows, min(p.rows2, p.channels - first), p.hidden, p.hidden_padded, weights, p.row_stride2);
    const T* map = static_cast<const T*>(p.Z) + image * p.channels * p.pixels;
    const float* hidden = p.workspace + image * p.pixels * p.hidden_padded;
    const ProductTile tile = {p.rows2, p.quads2, p.hidden_padded, p.row_stride2, p.column_stride2};

    // Every element that this thread gates below is of this row, because rows2 divides the number of threads.
    const int row = thread_of_block() & (p.rows2 - 1);
    const bool in_map = first + row < p.channels;
    float sum = 0.0f;
    for (int first_pixel = 0; first_pixel < p.pixels; first_pixel += p.columns2) {
        const int count = min(p.columns2, p.pixels - first_pixel);
        if (first_pixel > 0) {
            // The last tile's values and sums are still being read.
            __syncthreads();
        }
        copy_rows(hidden + static_cast<long long>(first_pixel) * p.hidden_padded, count, p.hidden_padded,
                  p.hidden_padded, columns, p.column_stride2);
        load_window<T, L>(map, {p.channels, p.pixels, first, p.rows2, first_pixel, count}, p.x_scale, values, p.rows2);
        copy_async_wait();
        __syncthreads();
        dot_products(tile, weights, columns, count, false, partial);
        __syncthreads();
        const float bias = in_map ? to_float(static_cast<const V*>(p.b2)[first + row]) : 0.0f;
        for (int index = thread_of_block(); index < p.rows2 * count; index += kBlockThreads) {
            const int column = index / p.rows2;
            const float z = values[column * p.rows2 + row];
            sum += z + z * sigmoid(product(tile, partial, row, column) + bias);
        }
    }
    // The columns are read no more: every thread has passed the barrier after the last product.
    columns[thread_of_block()] = sum;
    __syncthreads();
    if (thread_of_block() < p.rows2 && in_map) {
        float total = 0.0f;
        for (int part = row; part < kBlockThreads; part += p.rows2) {
            total += columns[part];
        }
        V* f = static_cast<V*>(p.f) + image * p.channels;
        f[first + row] = from_float<V>(total / static_cast<float>(p.pixels));
    }
}

}  // namespace edgefer
