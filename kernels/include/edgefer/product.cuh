// A few rows of a weight matrix times a few columns of floats, both in shared memory: the matrix product of a gate.
//
// A thread takes one row, four columns and every `slices`-th 16 bytes of the row; the slices are added up afterwards.
// Threads of a warp differ in their row first, so that they read the same 16 bytes of a column at once, and rows are an
// odd number of 16 bytes apart, so that they read their weights from different banks. Plain FP32 arithmetic: no tensor
// cores, which the host's imitation could not run.
#pragma once

#include "shared_rows.cuh"

namespace edgefer {

constexpr int kColumnsPerThread = 4;
// Floats that `dot_products` writes: one for every thread and column of it, whatever the tile.
constexpr int kPartialFloats = kBlockThreads * kColumnsPerThread;

struct ProductTile {
    int rows;           // of the block; a power of two
    int quads;          // fours of columns; a power of two, rows * quads at most kBlockThreads
    int length;         // elements of a row and floats of a column, a multiple of 16 bytes of weights
    int row_stride;     // elements from one row to the next
    int column_stride;  // floats from one column to the next
};

// Writes the sums of the slices to `partial`; a barrier makes them ready for `product`. Columns from `count` on are not
// read, rows without weights give sums that nobody may use. `square` takes the squares of the columns.
template <class V>
EDGEFER_DEVICE void dot_products(
    const ProductTile& tile, const V* weights, const float* columns, int count, bool square, float* partial) {
    const int row = thread_of_block() & (tile.rows - 1);
    const int quad = (thread_of_block() / tile.rows) & (tile.quads - 1);
    const int slices = kBlockThreads / (tile.rows * tile.quads);
    const int slice = thread_of_block() / (tile.rows * tile.quads);
    const V* own_row = weights + row * tile.row_stride;
    const float* own_columns = columns + quad * kColumnsPerThread * tile.column_stride;
    const int own_count = count - quad * kColumnsPerThread;

    float sum[kColumnsPerThread] = {};
    for (int k = slice * kLanes<V>; k < tile.length; k += slices * kLanes<V>) {
        const Pack<V> weight = load_pack(own_row + k);
#pragma unroll
        for (int column = 0; column < kColumnsPerThread; ++column) {
            if (column < own_count) {
                float value[kLanes<V>];
                load_floats(own_columns + column * tile.column_stride + k, value);
#pragma unroll
                for (int lane = 0; lane < kLanes<V>; ++lane) {
                    const float x = value[lane];
                    sum[column] = fmaf(to_float(weight.element[lane]), square ? x * x : x, sum[column]);
                }
            }
        }
    }
    float* own_partial = partial + (slice * tile.quads + quad) * kColumnsPerThread * tile.rows + row;
#pragma unroll
    for (int column = 0; column < kColumnsPerThread; ++column) {
        own_partial[column * tile.rows] = sum[column];
    }
}

// The product of a row and a column of the block.
EDGEFER_DEVICE float product(const ProductTile& tile, const float* partial, int row, int column) {
    const int slices = kBlockThreads / (tile.rows * tile.quads);
    float sum = 0.0f;
    for (int slice = 0; slice < slices; ++slice) {
        sum += partial[(slice * tile.quads * kColumnsPerThread + column) * tile.rows + row];
    }
    return sum;
}

}  // namespace edgefer
