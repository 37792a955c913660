// The parameters of the channel gate's kernels (squeeze-and-excite). Plain C: shared with the host.
#pragma once

namespace edgefer {

// An image is (channels, pixels) in the form of its entry; grid z counts the images of a batch, for which X and Y lie
// one behind another. All addresses of tensors are multiples of 16.
//
//   W1, b1    (hidden, channels) and (hidden; null: zero)
//   W2, b2    (channels, hidden) and (channels; null: zero)
//   workspace [image][pool_bands][channels rounded up to 4] floats: sums of each band of pixels
//
// The scales are those of INT8 tensors (value = q * scale), 1 for others.
struct ChannelGateParams {
    const void* X;
    const void* W1;
    const void* b1;
    const void* W2;
    const void* b2;
    void* Y;
    void* workspace;
    int channels;
    int pixels;
    int hidden;
    int hard;         // the gate is max(0, min(1, alpha * score + beta)) instead of the sigmoid
    int pool_bands;
    int pool_pixels;  // in a band, but for the last
    int tile_pixels;  // of the output that one block writes
    int copied;       // whether a block copies its part of X into shared memory
    float alpha;
    float beta;
    float x_scale;
    float y_scale;
};

}  // namespace edgefer
