// Reading a camera's frame: bilinear between the four pixels about a position, for every format.
#pragma once

#include "preprocess_position.cuh"

namespace edgefer {

// One frame, and the part of it that may be read.
struct Source {
    const unsigned char* pixels;
    const unsigned char* chroma;
    long long stride;
    long long chroma_stride;
    float chroma_shift;
    int format;
    int left;
    int top;
    int right;
    int bottom;
};

// The four pixels: their columns and rows, and how far the position is towards the second ones.
struct Taps {
    int x0;
    int x1;
    int y0;
    int y1;
    float right;
    float down;
};

EDGEFER_DEVICE int clamped(int value, int first, int last) {
    return value < first ? first : (value > last ? last : value);
}

// Beyond `first` and `last` the pixels there are repeated. Both clamps of both hold whatever the position is.
EDGEFER_DEVICE Taps taps_of(const Place& x, const Place& y, int left, int top, int last_column, int last_row) {
    const int column = static_cast<int>(x.cell);
    const int row = static_cast<int>(y.cell);
    return {clamped(column, left, last_column),
            clamped(column + 1, left, last_column),
            clamped(row, top, last_row),
            clamped(row + 1, top, last_row),
            x.share,
            y.share};
}

EDGEFER_DEVICE float between(float upper_left, float upper_right, float lower_left, float lower_right, const Taps& at) {
    const float upper = upper_left + at.right * (upper_right - upper_left);
    const float lower = lower_left + at.right * (lower_right - lower_left);
    return upper + at.down * (lower - upper);
}

EDGEFER_DEVICE float grey8_at(const unsigned char* pixels, long long stride, const Taps& at) {
    const unsigned char* upper = pixels + at.y0 * stride;
    const unsigned char* lower = pixels + at.y1 * stride;
    return between(upper[at.x0], upper[at.x1], lower[at.x0], lower[at.x1], at);
}

EDGEFER_DEVICE float grey16_at(const unsigned char* pixels, long long stride, const Taps& at) {
    const unsigned short* upper = reinterpret_cast<const unsigned short*>(pixels + at.y0 * stride);
    const unsigned short* lower = reinterpret_cast<const unsigned short*>(pixels + at.y1 * stride);
    return between(upper[at.x0], upper[at.x1], lower[at.x0], lower[at.x1], at);
}

EDGEFER_DEVICE void add_bgr_at(const Source& source, const Taps& at, float (&sum)[3]) {
    const unsigned char* upper = source.pixels + at.y0 * source.stride;
    const unsigned char* lower = source.pixels + at.y1 * source.stride;
#pragma unroll
    for (int channel = 0; channel < 3; ++channel) {
        const int x0 = 3 * at.x0 + channel;
        const int x1 = 3 * at.x1 + channel;
        sum[2 - channel] += between(upper[x0], upper[x1], lower[x0], lower[x1], at);
    }
}

// Where the chroma of a position stands in its own plane, of half the columns or rows.
EDGEFER_DEVICE Place halved(const Place& at, float shift) {
    const float cell = floorf(0.5f * at.cell);
    const float share = (0.5f * at.cell - cell) + (0.5f * at.share + shift);
    const float step = floorf(share);
    return {cell + step, share - step};
}

EDGEFER_DEVICE void add_chroma_at(const Source& source, const Place& x, const Place& y, float (&sum)[3]) {
    const Taps at = taps_of(halved(x, source.chroma_shift), halved(y, -0.25f), source.left >> 1, source.top >> 1,
                            (source.right - 1) >> 1, (source.bottom - 1) >> 1);
    const unsigned short* upper =
        reinterpret_cast<const unsigned short*>(source.chroma + at.y0 * source.chroma_stride);
    const unsigned short* lower =
        reinterpret_cast<const unsigned short*>(source.chroma + at.y1 * source.chroma_stride);
    const int pairs[4] = {upper[at.x0], upper[at.x1], lower[at.x0], lower[at.x1]};
    sum[1] += between(pairs[0] & 255, pairs[1] & 255, pairs[2] & 255, pairs[3] & 255, at);
    sum[2] += between(pairs[0] >> 8, pairs[1] >> 8, pairs[2] >> 8, pairs[3] >> 8, at);
}

// Adds the frame's value at a position: (R, G, B), (Y, Cb, Cr), or grey in sum[0] alone.
template <int kChannels>
EDGEFER_DEVICE void add_at(const Source& source, const Place& x, const Place& y, float (&sum)[kChannels]) {
    const Taps at = taps_of(x, y, source.left, source.top, source.right - 1, source.bottom - 1);
    if constexpr (kChannels == 3) {
        if (source.format == kBgr8) {
            add_bgr_at(source, at, sum);
            return;
        }
        if (source.format == kNv12) {
            add_chroma_at(source, x, y, sum);
        }
    }
    sum[0] += source.format == kY16 ? grey16_at(source.pixels, source.stride, at)
                                    : grey8_at(source.pixels, source.stride, at);
}

// The mean over the samples of the input's pixel (x, y) that lie within the picture, and their share of all samples.
template <int kChannels>
EDGEFER_DEVICE float mean_at(const Source& source, const PreprocessView& view, int x, int y,
                             float (&mean)[kChannels]) {
    const Centre centre = centre_of(view.to_source, x, y);
    const int across = clamped(view.samples[0], 1, 16);
    const int down = clamped(view.samples[1], 1, 16);
    const float step_right = 1.0f / across;
    const float step_down = 1.0f / down;
    int found = 0;
    for (int j = 0; j < down; ++j) {
        for (int i = 0; i < across; ++i) {
            const Distance distance = distance_of(centre, view.to_source, (i + 0.5f) * step_right - 0.5f,
                                                  (j + 0.5f) * step_down - 0.5f);
            const Place column = place(centre.x, distance.x);
            const Place row = place(centre.y, distance.y);
            if (within(column, source.left, source.right) && within(row, source.top, source.bottom)) {
                add_at(source, column, row, mean);
                ++found;
            }
        }
    }
    const float inverse = found > 0 ? 1.0f / found : 0.0f;
#pragma unroll
    for (int channel = 0; channel < kChannels; ++channel) {
        mean[channel] *= inverse;
    }
    return static_cast<float>(found) / static_cast<float>(across * down);
}

}  // namespace edgefer
