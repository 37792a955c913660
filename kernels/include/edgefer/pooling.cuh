// Sums and maxima of an image's channels over its pixels.
//
// Each thread gathers a group of channels over every so many pixels, its lane, and leaves the result in `scratch`
// [lanes][planes][pitch]; then the lanes are reduced. The planes are the sums and, where asked for, the maxima; the
// pitch is the number of channels rounded up to 4.
#pragma once

#include "share.cuh"

namespace edgefer {

// Below every finite value; one that is not finite makes the sum, and so the gate, not finite.
constexpr float kLowest = -3.402823466e+38f;

EDGEFER_DEVICE int round_up_4(int count) { return (count + 3) / 4 * 4; }

template <bool kMaximum>
constexpr int kPlanes = kMaximum ? 2 : 1;

template <int kCount>
struct Pooled {
    float sum[kCount];
    float largest[kCount];

    EDGEFER_DEVICE Pooled() {
#pragma unroll
        for (int lane = 0; lane < kCount; ++lane) {
            sum[lane] = 0.0f;
            largest[lane] = kLowest;
        }
    }

    EDGEFER_DEVICE void add(int lane, float value, float maximum) {
        sum[lane] += value;
        largest[lane] = fmaxf(largest[lane], maximum);
    }

    template <bool kMaximum>
    EDGEFER_DEVICE void leave(float* scratch, int lane, int pitch, int channel) const {
        float* const place = scratch + lane * kPlanes<kMaximum> * pitch + channel;
        store_floats(place, sum);
        if constexpr (kMaximum) {
            store_floats(place + pitch, largest);
        }
    }
};

// Pools the pixels from `first` to before `end` of an image into `scratch`; returns the number of lanes. With kKeep it
// also leaves these pixels in `copy`, in the image's layout.
template <class T, class L, bool kMaximum, bool kKeep>
EDGEFER_DEVICE int pool_pixels(const T* image, T* copy, int channels, int pixels, int first, int end, float* scratch) {
    constexpr int kCount = kGroup<T, L>;
    // As many accesses as a thread waits for at the same time: what registers allow.
    constexpr int kAtOnce = kCount > 8 ? 2 : 4;
    const int groups = channels / kCount;
    const Share share = share_of_block<L>(groups);
#pragma unroll 1
    for (int group = share.group; group < groups; group += share.groups) {
        const int channel = group * kCount;
        Pooled<kCount> pooled;
#pragma unroll kAtOnce
        for (int pixel = first + share.pixel; pixel < end; pixel += share.pixels) {
            const int offset = static_cast<int>(L::offset(channel, pixel, channels, pixels));
            const Elements<T, L> found = load_elements<T, L>(image, offset);
            if constexpr (kKeep) {
                store_elements<T, L>(copy, offset, found);
            }
#pragma unroll
            for (int lane = 0; lane < kCount; ++lane) {
                pooled.add(lane, to_float(found.element[lane]), to_float(found.element[lane]));
            }
        }
        if constexpr (L::kChannelsTogether) {
            pooled.template leave<kMaximum>(scratch, share.pixel, round_up_4(channels), channel);
        } else {
            // The pixels of a channel are with the lanes of one warp, all of which take this way.
            for (int mask = 16; mask > 0; mask /= 2) {
                pooled.sum[0] += other_lane(pooled.sum[0], mask);
                if constexpr (kMaximum) {
                    pooled.largest[0] = fmaxf(pooled.largest[0], other_lane(pooled.largest[0], mask));
                }
            }
            if (share.pixel == 0) {
                pooled.template leave<kMaximum>(scratch, 0, round_up_4(channels), channel);
            }
        }
    }
    return L::kChannelsTogether ? share.pixels : 1;
}

// Pools what the blocks of an earlier launch left of the bands of an image, [bands][planes][pitch], into `scratch`;
// returns the number of lanes: one for each band where there are threads enough.
template <bool kMaximum>
EDGEFER_DEVICE int pool_bands(const float* partial, int bands, int pitch, float* scratch) {
    const int groups = pitch / 4;
    const Share share = share_of_block<Hwc>(groups);
    const int lanes = share.pixels < bands ? share.pixels : bands;
    if (share.pixel < lanes) {
#pragma unroll 1
        for (int group = share.group; group < groups; group += share.groups) {
            Pooled<4> pooled;
#pragma unroll 1
            for (int band = share.pixel; band < bands; band += lanes) {
                const float* const place = partial + (band * kPlanes<kMaximum> * pitch + group * 4);
                const Pack<float> sums = load_pack(place);
                const Pack<float> maxima = load_pack(place + (kMaximum ? pitch : 0));
#pragma unroll
                for (int lane = 0; lane < 4; ++lane) {
                    pooled.add(lane, sums.element[lane], maxima.element[lane]);
                }
            }
            pooled.template leave<kMaximum>(scratch, share.pixel, pitch, group * 4);
        }
    }
    return lanes;
}

// Reduces the lanes of `scratch` into `result` [planes][pitch]: sums times `factor`, maxima times `scale`.
template <bool kMaximum>
EDGEFER_DEVICE void reduce_lanes(const float* scratch, int lanes, int pitch, float factor, float scale, float* result) {
    const int entries = kPlanes<kMaximum> * pitch;
    __syncthreads();
#pragma unroll 1
    for (int entry = threadIdx.x; entry < entries; entry += blockDim.x) {
        float value = scratch[entry];
#pragma unroll 4
        for (int lane = 1; lane < lanes; ++lane) {
            const float other = scratch[lane * entries + entry];
            value = entry < pitch ? value + other : fmaxf(value, other);
        }
        result[entry] = value * (entry < pitch ? factor : scale);
    }
}

}  // namespace edgefer
