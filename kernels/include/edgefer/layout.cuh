// Where an element lies: the three layouts that neighbouring convolutions use. One image at a time; `pixels` is H*W and
// `pixel` is y*W + x. C counts channels without padding, because a form is taken only where none is needed.
//
//   Linear  (C, H, W)             one channel after the other; neighbouring pixels lie together
//   Hwc     (H, W, C)             C a multiple of the elements in 16 bytes; TensorRT's kHWC, and kHWC8 for FP16
//   Chw32   (C/32, H, W, 32)      C a multiple of 32; TensorRT's kCHW32
#pragma once

#include "numeric.cuh"

namespace edgefer {

struct Linear {
    static constexpr bool kChannelsTogether = false;
    EDGEFER_DEVICE static long long offset(int channel, int pixel, int /*channels*/, int pixels) {
        return static_cast<long long>(channel) * pixels + pixel;
    }
};

struct Hwc {
    static constexpr bool kChannelsTogether = true;
    EDGEFER_DEVICE static long long offset(int channel, int pixel, int channels, int /*pixels*/) {
        return static_cast<long long>(pixel) * channels + channel;
    }
};

struct Chw32 {
    static constexpr bool kChannelsTogether = true;
    EDGEFER_DEVICE static long long offset(int channel, int pixel, int /*channels*/, int pixels) {
        return (static_cast<long long>(channel >> 5) * pixels + pixel) * 32 + (channel & 31);
    }
};

// How many neighbouring channels one thread takes: those of one 16-byte access, or one where channels lie apart.
template <class T, class L>
constexpr int kGroup = L::kChannelsTogether ? kLanes<T> : 1;

// The `kGroup` values from `channel` on, times `scale`.
template <class T, class L>
EDGEFER_DEVICE void load_group(const T* image, long long offset, float scale, float (&value)[kGroup<T, L>]) {
    if constexpr (L::kChannelsTogether) {
        const Pack<T> pack = load_pack(image + offset);
#pragma unroll
        for (int lane = 0; lane < kGroup<T, L>; ++lane) {
            value[lane] = to_float(pack.element[lane]) * scale;
        }
    } else {
        value[0] = to_float(image[offset]) * scale;
    }
}

}  // namespace edgefer
