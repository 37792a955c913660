// How the threads of a block, or the lanes of a warp, share out the channels and pixels of an image: so that
// neighbouring threads touch neighbouring memory, whatever the layout. Channels come in groups of 16 bytes, or one by
// one in a linear layout.
#pragma once

#include "layout.cuh"

namespace edgefer {

constexpr unsigned int kAllLanes = 0xffffffffu;

// Of numbers that are not negative, which takes half as many instructions as dividing any.
EDGEFER_DEVICE int quotient_of(int number, int divisor) {
    return static_cast<int>(static_cast<unsigned int>(number) / static_cast<unsigned int>(divisor));
}

// One thread's first group and pixel, and the steps to its next ones. A thread that is left over has a group past all.
struct Share {
    int group;
    int pixel;
    int groups;
    int pixels;
};

constexpr int kNoGroup = 1 << 30;

// For each layout: `block`, the share of thread `index` of `threads` where there are so many `groups`; `warp`, that of
// a lane where teams of 1 << `shift` lanes have the same pixel; and whether lanes whose numbers differ in the bit
// `mask` are of one team.
template <class L>
struct Order;

// A warp takes a channel. A team has four lanes at most, so that eight neighbouring pixels are read together.
template <>
struct Order<Linear> {
    static constexpr int kLargestTeam = 4;
    EDGEFER_DEVICE static Share block(int index, int threads, int /*groups*/) {
        return {index / 32, index % 32, threads / 32, 32};
    }
    EDGEFER_DEVICE static Share warp(int lane, int shift) {
        const int pixels = 32 >> shift;
        return {lane >> (5 - shift), lane & (pixels - 1), 1 << shift, pixels};
    }
    EDGEFER_DEVICE static bool same_team(int mask, int shift) { return mask >= 32 >> shift; }
};

template <>
struct Order<Hwc> {
    static constexpr int kLargestTeam = 32;
    EDGEFER_DEVICE static Share block(int index, int threads, int groups) {
        const int at_once = groups < threads ? groups : threads;
        const int pixels = quotient_of(threads, at_once);
        const int pixel = quotient_of(index, at_once);
        return {pixel < pixels ? index - pixel * at_once : kNoGroup, pixel, at_once, pixels};
    }
    EDGEFER_DEVICE static Share warp(int lane, int shift) {
        return {lane & ((1 << shift) - 1), lane >> shift, 1 << shift, 32 >> shift};
    }
    EDGEFER_DEVICE static bool same_team(int mask, int shift) { return mask < 1 << shift; }
};

// The two halves of 32 channels, then the pixels, then the next 32 channels: groups come in pairs.
template <>
struct Order<Chw32> {
    static constexpr int kLargestTeam = 32;
    EDGEFER_DEVICE static Share block(int index, int threads, int groups) {
        const int at_once = groups < threads ? groups : threads;
        const int pixels = quotient_of(threads, at_once);
        const int pair = quotient_of(index / 2, pixels);
        const int group = 2 * pair + index % 2;
        return {group < at_once ? group : kNoGroup, index / 2 - pair * pixels, at_once, pixels};
    }
    EDGEFER_DEVICE static Share warp(int lane, int shift) {
        const int pixels = 32 >> shift;
        return {(lane >> (6 - shift)) * 2 + lane % 2, lane / 2 & (pixels - 1), 1 << shift, pixels};
    }
    EDGEFER_DEVICE static bool same_team(int mask, int shift) { return mask == 1 || mask >= 64 >> shift; }
};

template <class L>
EDGEFER_DEVICE Share share_of_block(int groups) {
    return Order<L>::block(static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x), groups);
}

template <class L>
EDGEFER_DEVICE Share share_of_warp(int shift) {
    return Order<L>::warp(static_cast<int>(threadIdx.x % 32), shift);
}

// The logarithm to base 2 of the size of a team: a lane for each of so many groups, as far as there are lanes.
template <class L>
EDGEFER_DEVICE int team_shift(int groups) {
    int shift = 0;
#pragma unroll 1
    while (1 << shift < groups && 1 << shift < Order<L>::kLargestTeam) {
        ++shift;
    }
    return shift;
}

EDGEFER_DEVICE float other_lane(float value, int mask) { return __shfl_xor_sync(kAllLanes, value, mask); }

// What one thread loads at once of an image, as it lies in memory: converted as late as possible, it takes few
// registers.
template <class T, class L>
struct alignas(kGroup<T, L> * sizeof(T)) Elements {
    T element[kGroup<T, L>];
};

template <class T, class L>
EDGEFER_DEVICE Elements<T, L> load_elements(const T* image, int offset) {
    Elements<T, L> elements;
    if constexpr (L::kChannelsTogether) {
        *reinterpret_cast<uint4*>(&elements) = *reinterpret_cast<const uint4*>(image + offset);
    } else {
        elements.element[0] = image[offset];
    }
    return elements;
}

template <class T, class L>
EDGEFER_DEVICE void store_elements(T* image, int offset, const Elements<T, L>& elements) {
    if constexpr (L::kChannelsTogether) {
        *reinterpret_cast<uint4*>(image + offset) = *reinterpret_cast<const uint4*>(&elements);
    } else {
        image[offset] = elements.element[0];
    }
}

// Where the factor of a channel lies among those of `channels`, in shared memory: first a quad of each group of kCount,
// then the next quad of each, so that threads that read theirs do not meet in a bank.
template <int kCount>
EDGEFER_DEVICE int factor_place(int channel, int channels) {
    if constexpr (kCount % 4 == 0) {
        return (channel % kCount / 4 * (channels / kCount) + channel / kCount) * 4 + channel % 4;
    } else {
        return channel;
    }
}

// `count` floats from an address that is a multiple of 16 bytes where there are several.
template <int kCount>
EDGEFER_DEVICE void load_floats(const float* address, float (&value)[kCount]) {
    if constexpr (kCount % 4 == 0) {
#pragma unroll
        for (int quad = 0; quad < kCount; quad += 4) {
            const Pack<float> pack = load_pack(address + quad);
#pragma unroll
            for (int lane = 0; lane < 4; ++lane) {
                value[quad + lane] = pack.element[lane];
            }
        }
    } else {
#pragma unroll
        for (int lane = 0; lane < kCount; ++lane) {
            value[lane] = address[lane];
        }
    }
}

template <int kCount>
EDGEFER_DEVICE void store_floats(float* address, const float (&value)[kCount]) {
    if constexpr (kCount % 4 == 0) {
#pragma unroll
        for (int quad = 0; quad < kCount; quad += 4) {
            Pack<float> pack;
#pragma unroll
            for (int lane = 0; lane < 4; ++lane) {
                pack.element[lane] = value[quad + lane];
            }
            store_pack(address + quad, pack);
        }
    } else {
#pragma unroll
        for (int lane = 0; lane < kCount; ++lane) {
            address[lane] = value[lane];
        }
    }
}

}  // namespace edgefer
