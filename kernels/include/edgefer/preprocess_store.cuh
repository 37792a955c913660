// Writing one pixel of an input: its channels apart, or together in one access.
#pragma once

#include "numeric.cuh"

namespace edgefer {

// The channels of one pixel, those of the visible camera before those of the infrared one.
struct PixelValues {
    float visible[3];
    float infrared[3];
    int visible_channels;
    int infrared_channels;
};

// (frames, C, H, W).
template <class T>
struct Planar {
    EDGEFER_DEVICE static void store(void* y, long long frame, long long pixels, long long pixel,
                                     const PixelValues& values) {
        const int channels = values.visible_channels + values.infrared_channels;
        T* target = static_cast<T*>(y) + frame * channels * pixels + pixel;
#pragma unroll
        for (int channel = 0; channel < 3; ++channel) {
            if (channel < values.visible_channels) {
                target[channel * pixels] = from_float<T>(values.visible[channel]);
            }
        }
        target += values.visible_channels * pixels;
#pragma unroll
        for (int channel = 0; channel < 3; ++channel) {
            if (channel < values.infrared_channels) {
                target[channel * pixels] = from_float<T>(values.infrared[channel]);
            }
        }
    }
};

// (frames, H, W, kWidth), the channels that are not there being zero: TensorRT's kHWC8 for up to 8 channels of FP16,
// and its kCHW4 for up to 4 of INT8.
template <class T, int kWidth>
struct Together {
    struct alignas(sizeof(T) * kWidth) Pixel {
        T element[kWidth];
    };

    EDGEFER_DEVICE static void store(void* y, long long frame, long long pixels, long long pixel,
                                     const PixelValues& values) {
        Pixel packed;
#pragma unroll
        for (int lane = 0; lane < kWidth; ++lane) {
            packed.element[lane] = from_float<T>(channel_of(values, lane));
        }
        Pixel* target = static_cast<Pixel*>(y) + (frame * pixels + pixel);
        if constexpr (sizeof(Pixel) == sizeof(uint4)) {
            *reinterpret_cast<uint4*>(target) = *reinterpret_cast<const uint4*>(&packed);
        } else {
            static_assert(sizeof(Pixel) == sizeof(unsigned int), "a pixel is one access");
            *reinterpret_cast<unsigned int*>(target) = *reinterpret_cast<const unsigned int*>(&packed);
        }
    }

    // In selections, because an array with an index that varies would lie in local memory.
    EDGEFER_DEVICE static float channel_of(const PixelValues& values, int lane) {
        float value = 0.0f;
#pragma unroll
        for (int channel = 0; channel < 3; ++channel) {
            if (channel < values.visible_channels && lane == channel) {
                value = values.visible[channel];
            }
            if (channel < values.infrared_channels && lane == values.visible_channels + channel) {
                value = values.infrared[channel];
            }
        }
        return value;
    }
};

}  // namespace edgefer
