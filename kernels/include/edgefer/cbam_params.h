// The parameters of CBAM's kernels. Plain C: shared with the host.
#pragma once

namespace edgefer {

// An image is (channels, height, width) in the form of its entry; grid z counts the images of a batch, for which X, R
// and Y lie one behind another. All addresses of tensors are multiples of 16.
//
//   X, R      the input and what is added at the end (null: nothing), of the same form
//   W1, b1    (hidden, channels) and (hidden), W2, b2 (channels, hidden) and (channels): the shared MLP
//   Ws, bs    (1, 2, kernel, kernel) and (1): the spatial convolution over maximum, mean
//   workspace [image][pool_bands][2][channels rounded up to 4] floats: sums, then maxima, of each band of pixels
//
// The scales are those of INT8 tensors (value = q * scale), 1 for others.
struct CbamParams {
    const void* X;
    const void* W1;
    const void* b1;
    const void* W2;
    const void* b2;
    const void* Ws;
    const void* bs;
    const void* R;
    void* Y;
    void* workspace;
    int channels;
    int height;
    int width;
    int hidden;
    int kernel;
    int relu;
    int pool_bands;
    int pool_pixels;   // in a band, but for the last
    int tile_rows;     // of the output that one block writes
    int tile_columns;
    int copied;        // whether a block copies its part of X into shared memory
    float x_scale;
    float r_scale;
    float y_scale;
};

}  // namespace edgefer
