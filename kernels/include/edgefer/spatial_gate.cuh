// CBAM's spatial gate: the sigmoid of a k x k convolution over two maps, the channels' maximum and mean at each pixel.
#pragma once

#include "region.cuh"
#include "pooling.cuh"

namespace edgefer {

// The convolution's weights lie in shared memory as [2][k][kWeightPitch], and its bias at the end of the first row,
// which a k up to 7 leaves free.
constexpr int kWeightPitch = 8;
constexpr int kBiasPlace = 7;

// The maps of a tile with `radius` rows and columns more on every side, the maximum before the mean, `plane` apart.
// What is beyond the image stays zero.
struct Maps {
    float* first;
    int plane;
    int pitch;
    int row;     // of the image, at the corner; may be negative
    int column;
};

// Each thread's weight, the bias after the last. They are read long before they are stored, so that no thread waits.
template <class W>
EDGEFER_DEVICE float read_spatial_weight(const W* weight, const W* bias, int kernel) {
    const int index = threadIdx.x;
    const int count = 2 * kernel * kernel;
    return index < count ? to_float(weight[index]) : to_float(*bias);
}

EDGEFER_DEVICE void store_spatial_weight(float value, int kernel, float* weights) {
    const int index = threadIdx.x;
    const int count = 2 * kernel * kernel;
    if (index < count) {
        const int line = quotient_of(index, kernel);
        weights[line * kWeightPitch + index - line * kernel] = value;
    } else if (index == count) {
        weights[kBiasPlace] = value;
    }
}

EDGEFER_DEVICE void clear_maps(const Maps& maps) {
#pragma unroll 1
    for (int index = threadIdx.x; index < 2 * maps.plane; index += blockDim.x) {
        maps.first[index] = 0.0f;
    }
}

// Fills the maps of the region `halo` with the maximum and the mean over the channels of X times its gates, which lie
// as factor_place says.
template <class T, class L>
EDGEFER_DEVICE void fill_maps(const View<T, L>& x, const Region& halo, const float* gate, const Maps& maps) {
    constexpr int kCount = kGroup<T, L>;
    constexpr int kQuad = kCount < 4 ? kCount : 4;
    const int groups = x.channels / kCount;
    const int shift = team_shift<L>(groups);
    const Share share = share_of_warp<L>(shift);
    const int first = threadIdx.x / 32 * share.pixels;
    const int stride = blockDim.x / 32 * share.pixels;
    const int pixels = area(halo);
    const float part = __fdividef(1.0f, static_cast<float>(x.channels));
    Walk walk(first + share.pixel, stride, halo.columns);
#pragma unroll 1
    for (int base = first; base < pixels; base += stride) {
        float largest = kLowest;
        float sum = 0.0f;
        if (walk.row < halo.rows) {
#pragma unroll 1
            for (int group = share.group; group < groups; group += share.groups) {
                const Elements<T, L> found =
                    x.load(group * kCount, halo.row + walk.row, halo.column + walk.column);
#pragma unroll
                for (int quad = 0; quad < kCount; quad += kQuad) {
                    float factor[kQuad];
                    load_floats(gate + factor_place<kCount>(group * kCount + quad, x.channels), factor);
#pragma unroll
                    for (int lane = 0; lane < kQuad; ++lane) {
                        const float gated = to_float(found.element[quad + lane]) * factor[lane];
                        largest = fmaxf(largest, gated);
                        sum += gated;
                    }
                }
            }
        }
        for (int mask = 16; mask > 0; mask /= 2) {
            if (Order<L>::same_team(mask, shift)) {
                largest = fmaxf(largest, other_lane(largest, mask));
                sum += other_lane(sum, mask);
            }
        }
        if (share.group == 0 && walk.row < halo.rows) {
            float* const place = maps.first + ((halo.row + walk.row - maps.row) * maps.pitch + halo.column +
                                               walk.column - maps.column);
            place[0] = largest;
            place[maps.plane] = sum * part;
        }
        walk.advance();
    }
}

// One row of the window over one map.
template <int kKernel>
EDGEFER_DEVICE float window_row(const float* map, const float* weight) {
    float factor[kWeightPitch];
    load_floats(weight, factor);
    float score = 0.0f;
#pragma unroll
    for (int column = 0; column < kKernel; ++column) {
        score += map[column] * factor[column];
    }
    return score;
}

// spatial[pixel] = sigmoid(convolution + bias) for the pixels of `tile`, whose windows begin at the maps' corner. Where
// there are threads enough, up to eight share the rows of a window.
EDGEFER_DEVICE void spatial_gates(int kernel, const Maps& maps, const Region& tile, const float* weights,
                                  float* spatial) {
    const int pixels = area(tile);
    int shift = 3;
#pragma unroll 1
    while (shift > 0 && pixels << shift > static_cast<int>(blockDim.x)) {
        --shift;
    }
    const Share share = share_of_warp<Hwc>(shift);
    const int first = threadIdx.x / 32 * share.pixels;
    const int stride = blockDim.x / 32 * share.pixels;
    Walk walk(first + share.pixel, stride, tile.columns);
#pragma unroll 1
    for (int base = first; base < pixels; base += stride) {
        float score = 0.0f;
        if (walk.row < tile.rows) {
            const float* const corner = maps.first + (walk.row * maps.pitch + walk.column);
#pragma unroll 1
            for (int line = share.group; line < 2 * kernel; line += share.groups) {
                const float* const map =
                    line < kernel ? corner + line * maps.pitch : corner + maps.plane + (line - kernel) * maps.pitch;
                const float* const weight = weights + line * kWeightPitch;
                if (kernel == 3) {
                    score += window_row<3>(map, weight);
                } else if (kernel == 5) {
                    score += window_row<5>(map, weight);
                } else {
                    score += window_row<7>(map, weight);
                }
            }
        }
#pragma unroll 1
        for (int mask = share.groups / 2; mask > 0; mask /= 2) {
            score += other_lane(score, mask);
        }
        if (share.group == 0 && walk.row < tile.rows) {
            spatial[base + share.pixel] = sigmoid(score + weights[kBiasPlace]);
        }
        walk.advance();
    }
}

}  // namespace edgefer
