// The last step of both gates: X times its gates, plus a residual, through ReLU, rounded and written.
#pragma once

#include "region.cuh"

namespace edgefer {

// What is made of an image (channels, height, width) and where it goes. `gate` lies as factor_place says; `spatial` has
// one gate for each pixel of the region, row by row.
template <class T, class U>
struct Writing {
    const float* gate;
    const float* spatial;
    const T* residual;
    float residual_scale;
    int relu;
    U* y;
    float y_scale;
    int height;
    int width;
};

// Without kSpatial, or without kResidual, these two are not looked at.
template <class T, class L, class U, class M, bool kSpatial, bool kResidual>
EDGEFER_DEVICE void write_gated(const View<T, L>& x, const Region& region, const Writing<T, U>& writing) {
    constexpr int kIn = kGroup<T, L>;
    constexpr int kOut = kGroup<U, M>;
    constexpr int kQuad = kIn < 4 ? kIn : 4;
    static_assert(kOut % kIn == 0, "what is stored at once is whole loads");
    const int units = x.channels / kOut;
    const int pixels = writing.height * writing.width;
    const float inverse = __fdividef(1.0f, writing.y_scale);
    const Share share = share_of_block<M>(units);
    // What is stored at once is several loads, all on their way together.
    using Pixels = typename Steps<kIn == kOut>::Type;
#pragma unroll 1
    for (Pixels walk(share.pixel, share.pixels, region.columns); walk.row < region.rows; walk.advance()) {
        const int row = region.row + walk.row;
        const int column = region.column + walk.column;
        const int pixel = row * writing.width + column;
        float spatial = 1.0f;
        if constexpr (kSpatial) {
            spatial = writing.spatial[walk.row * region.columns + walk.column];
        }
#pragma unroll 1
        for (int unit = share.group; unit < units; unit += share.groups) {
            Elements<U, M> result;
#pragma unroll
            for (int part = 0; part < kOut; part += kIn) {
                const int channel = unit * kOut + part;
                const Elements<T, L> found = x.load(channel, row, column);
                Elements<T, L> added;
                if constexpr (kResidual) {
                    const int offset = static_cast<int>(L::offset(channel, pixel, x.channels, pixels));
                    added = load_elements<T, L>(writing.residual, offset);
                }
#pragma unroll
                for (int quad = 0; quad < kIn; quad += kQuad) {
                    float gate[kQuad];
                    load_floats(writing.gate + factor_place<kIn>(channel + quad, x.channels), gate);
#pragma unroll
                    for (int lane = 0; lane < kQuad; ++lane) {
                        const float gated = to_float(found.element[quad + lane]) * gate[lane] * spatial;
                        const float sum =
                            kResidual ? gated + to_float(added.element[quad + lane]) * writing.residual_scale : gated;
                        const float value = writing.relu ? relu(sum) : sum;
                        result.element[part + quad + lane] = from_float<U>(value * inverse);
                    }
                }
            }
            const int offset = static_cast<int>(M::offset(unit * kOut, pixel, x.channels, pixels));
            store_elements<U, M>(writing.y, offset, result);
        }
    }
}

}  // namespace edgefer
