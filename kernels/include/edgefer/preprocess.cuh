// Frames of a visible and an infrared camera into a network's input, in one launch: each through its own homography and
// crop, averaged over the area that a pixel of the input covers, normalised, and laid out as the first layer reads it.
//
// One thread a pixel of the input, tiles of 32 x 8, one frame for each z. No shared memory, nothing that must be reset:
// a captured graph replays it with other pictures and other views in the same memory.
#pragma once

#include "preprocess_source.cuh"
#include "preprocess_store.cuh"

namespace edgefer {

EDGEFER_DEVICE PreprocessView load_view(const void* views, int frame) {
    PreprocessView view;
    const uint4* from = reinterpret_cast<const uint4*>(views) + 4LL * frame;
    uint4* to = reinterpret_cast<uint4*>(&view);
#pragma unroll
    for (int part = 0; part < 4; ++part) {
        to[part] = from[part];
    }
    return view;
}

// The picture within the frame, whatever the view says: nothing outside of the frame is ever read.
EDGEFER_DEVICE void set_picture(Source& source, const PreprocessView& view, int height, int width) {
    source.left = view.crop[0] > 0 ? view.crop[0] : 0;
    source.top = view.crop[1] > 0 ? view.crop[1] : 0;
    source.right = view.crop[2] < width ? view.crop[2] : width;
    source.bottom = view.crop[3] < height ? view.crop[3] : height;
}

// `share` of the picture's value and the rest of the pad level.
EDGEFER_DEVICE float padded(float value, float pad, float share) { return share * value + (1.0f - share) * pad; }

EDGEFER_DEVICE void visible_values(const PreprocessParams& p, int frame, int x, int y, float (&value)[3]) {
    const PreprocessView view = load_view(p.visible_views, frame);
    Source source;
    source.pixels = static_cast<const unsigned char*>(p.visible) + frame * p.visible_frame_stride;
    source.chroma = static_cast<const unsigned char*>(p.visible_chroma) + frame * p.chroma_frame_stride;
    source.stride = p.visible_stride;
    source.chroma_stride = p.chroma_stride;
    source.chroma_shift = p.chroma_shift;
    source.format = p.visible_format;
    set_picture(source, view, p.visible_height, p.visible_width);
    float level[3] = {};
    const float share = mean_at(source, view, x, y, level);
    if (p.visible_format == kNv12) {
        const float luma = level[0];
        const float blue = level[1];
        const float red = level[2];
#pragma unroll
        for (int channel = 0; channel < 3; ++channel) {
            const float* row = p.visible_rgb + 4 * channel;
            // Pairs of chroma and luma exist that no colour has.
            level[channel] = fminf(fmaxf(row[0] * luma + row[1] * blue + row[2] * red + row[3], 0.0f), 255.0f);
        }
    } else if (p.visible_format == kGray8) {
        level[1] = level[0];
        level[2] = level[0];
    }
#pragma unroll
    for (int channel = 0; channel < 3; ++channel) {
        const float* row = p.visible_mix + 3 * channel;
        const float mixed = row[0] * level[0] + row[1] * level[1] + row[2] * level[2] + p.visible_add[channel];
        value[channel] = padded(mixed, p.visible_pad[channel], share);
    }
}

EDGEFER_DEVICE void infrared_values(const PreprocessParams& p, int frame, int x, int y, float (&value)[3]) {
    const PreprocessView view = load_view(p.infrared_views, frame);
    Source source;
    source.pixels = static_cast<const unsigned char*>(p.infrared) + frame * p.infrared_frame_stride;
    source.chroma = nullptr;
    source.stride = p.infrared_stride;
    source.chroma_stride = 0;
    source.chroma_shift = 0.0f;
    source.format = p.infrared_format;
    set_picture(source, view, p.infrared_height, p.infrared_width);
    float level[1] = {};
    const float share = mean_at(source, view, x, y, level);
    const float seen = fminf(fmaxf(level[0], p.infrared_low), p.infrared_high) - p.infrared_low;
#pragma unroll
    for (int channel = 0; channel < 3; ++channel) {
        const float scaled = p.infrared_mul[channel] * seen + p.infrared_add[channel];
        value[channel] = padded(scaled, p.infrared_pad[channel], share);
    }
}

template <class Output>
EDGEFER_DEVICE void preprocess(const PreprocessParams& p) {
    const int x = static_cast<int>(blockIdx.x) * 32 + static_cast<int>(threadIdx.x & 31);
    const int y = static_cast<int>(blockIdx.y) * 8 + static_cast<int>(threadIdx.x >> 5);
    if (x >= p.width || y >= p.height) {
        return;
    }
    const int frame = static_cast<int>(blockIdx.z);
    const long long pixels = static_cast<long long>(p.height) * p.width;
    const long long pixel = static_cast<long long>(y) * p.width + x;
    PixelValues values = {};
    if (p.visible != nullptr) {
        visible_values(p, frame, x, y, values.visible);
        values.visible_channels = p.visible_channels;
    }
    if (p.infrared != nullptr) {
        infrared_values(p, frame, x, y, values.infrared);
        values.infrared_channels = p.infrared_channels;
    }
    if (p.y_infrared == nullptr) {
        Output::store(p.y, frame, pixels, pixel, values);
        return;
    }
    PixelValues infrared = values;
    infrared.visible_channels = 0;
    values.infrared_channels = 0;
    Output::store(p.y, frame, pixels, pixel, values);
    Output::store(p.y_infrared, frame, pixels, pixel, infrared);
}

}  // namespace edgefer
