// What the pre-processing kernel is given. Plain C++: the host makes these too.
#pragma once

namespace edgefer {

// How one camera's picture comes to lie in the input: one for each frame and camera, in device or mapped memory, so
// that a captured graph follows the faces without being patched. Any content is safe: what a view does not reach is at
// the pad level.
struct alignas(16) PreprocessView {
    // Row by row; (x, y, 1) of the input's pixel to homogeneous (x, y, w) of the frame's. Centres are whole numbers.
    float to_source[9];
    // Left, top, right, bottom in pixels of the frame; right and bottom lie outside. Beyond is the pad level.
    int crop[4];
    // Samples along x and y of an input's pixel, 1 to 16: about as many as frame pixels lie along it.
    int samples[2];
    int unused;
};

enum PreprocessFormat { kNoFormat = 0, kBgr8 = 1, kNv12 = 2, kGray8 = 3, kY16 = 4 };

// A null `visible` or `infrared` leaves that camera out. Strides are in bytes; those of Y16 and of chroma are even.
struct PreprocessParams {
    const void* visible;         // BGR or grey; of NV12 the luma
    const void* visible_chroma;  // NV12: pairs (Cb, Cr), half the rows
    const void* infrared;
    const void* visible_views;  // one PreprocessView for each frame
    const void* infrared_views;
    void* y;           // (frames, channels, height, width): those of the visible camera, then those of the infrared one
    void* y_infrared;  // the infrared camera's alone; null where they are in y
    long long visible_frame_stride;
    long long chroma_frame_stride;
    long long infrared_frame_stride;
    int visible_format;
    int visible_height;
    int visible_width;
    int visible_stride;
    int chroma_stride;
    int infrared_format;
    int infrared_height;
    int infrared_width;
    int infrared_stride;
    int height;
    int width;
    int visible_channels;  // up to 3, each
    int infrared_channels;
    // Where the chroma of pixel x stands along a row: at x / 2 + chroma_shift.
    float chroma_shift;
    // (R, G, B) = rows of (Y, Cb, Cr, 1), in levels 0 to 255.
    float visible_rgb[12];
    // Channel c of the output = row c of (R, G, B), plus add; pad is the output's own value beyond the picture.
    float visible_mix[9];
    float visible_add[3];
    float visible_pad[3];
    // Channel c = mul (min(max(level, low), high) - low) + add.
    float infrared_low;
    float infrared_high;
    float infrared_mul[3];
    float infrared_add[3];
    float infrared_pad[3];
};

}  // namespace edgefer
