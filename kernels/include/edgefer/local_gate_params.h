// What LocalGate's launches are given; plain C++, the same in edgefer/kernels/local_gate.py. Tensors have the names
// of the operator's inputs and output.
#pragma once

namespace edgefer {

struct LocalGateParams {
    const void* Z;   // (N, C, H, W) in the form of the entry
    const void* W1;  // (hidden, C), row by row
    const void* b1;  // (hidden), of the type of W1, as W2 and b2 are
    const void* W2;  // (C, hidden)
    const void* b2;
    void* f;           // (N, C), of the type of W1
    float* workspace;  // hidden activations (N, pixels, hidden_padded)
    float x_scale;     // the value of one step of Z: its scale where Z is INT8, else 1
    int channels;
    int padded;  // channels and zeros up to a multiple of 16 bytes of W1
    int pixels;
    int hidden;
    int hidden_padded;
    // First launch: rows of W1 (a power of two) and pixels that a block takes; fours of these, up to a power of two.
    int rows1;
    int columns1;
    int quads1;
    int row_stride1;
    int column_stride1;
    // Second launch: the same with rows of W2.
    int rows2;
    int columns2;
    int quads2;
    int row_stride2;
    int column_stride2;
};

}  // namespace edgefer
