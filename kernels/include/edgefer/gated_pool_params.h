// What GatedPool's launches are given; plain C++, the same in edgefer/kernels/gated_pool.py. Tensors have the names
// of the operator's inputs and output.
#pragma once

namespace edgefer {

struct GatedPoolParams {
    const void* F;     // (N, C, H, W) in the form of the entry
    const void* W;     // (C, C), row by row
    const void* b;     // (C), of the type of W
    void* f;           // (N, C), of the type of W
    float* workspace;  // means (N, padded), where there are two launches
    float x_scale;     // the value of one step of F: its scale where F is INT8, else 1
    int square;        // not 0: the gate sees the squares of the means
    int images;
    int channels;
    int padded;  // channels and zeros up to a multiple of 16 bytes of W
    int pixels;
    int across;   // groups of channels that a block pools side by side
    int rows;     // of W that a block takes; a power of two
    int columns;  // images that a block takes
    int quads;    // fours of these, up to a power of two
    int row_stride;
    int column_stride;
};

}  // namespace edgefer
