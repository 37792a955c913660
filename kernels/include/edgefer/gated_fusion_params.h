// What GatedFusion's launches are given; plain C++, the same in edgefer/kernels/gated_fusion.py. Tensors have the names
// of the operator's inputs and output.
#pragma once

namespace edgefer {

struct GatedFusionParams {
    const void* Fv;  // visible (N, C, H, W) in the form of the entry
    const void* Fi;  // infrared, of the same form, N and C; H and W may differ
    const void* Wv;  // (C, C), row by row
    const void* bv;  // (C), of the type of Wv, as Wi and bi are
    const void* Wi;
    const void* bi;
    const void* P;          // (N, 2): what the visible and the infrared half are multiplied with; null for none
    void* f;                // (N, 2C), of the type of Wv
    float* workspace;       // means (2, N, padded), where there are two launches
    float x_scale;          // the value of one step of Fv: its scale where it is INT8, else 1
    float r_scale;          // the same of Fi
    int square_visible;     // not 0: the gate sees the squares of the means
    int square_infrared;
    int interleave;         // not 0: f is v0, i0, v1, i1, ...; else v0, v1, ..., i0, i1, ...
    int mask_half;          // not 0: P is FP16, else FP32
    int images;
    int channels;
    int padded;  // channels and zeros up to a multiple of 16 bytes of Wv
    int visible_pixels;
    int infrared_pixels;
    int across;   // groups of channels that a block pools side by side
    int rows;     // of Wv or Wi that a block takes; a power of two
    int columns;  // images that a block takes
    int quads;    // fours of these, up to a power of two
    int row_stride;
    int column_stride;
};

}  // namespace edgefer
