// __shfl_*_sync for values of up to 8 bytes: from which lane each takes its value, as CUDA's programming guide has it
// (warp shuffle functions). `width` is a power of two; lanes outside of a segment of that width keep their own value.
#pragma once

#include <cstring>
#include <type_traits>

#include "block.hpp"

namespace edgefer::host {

inline unsigned int mask_of(unsigned int mask = 0xffffffffu) { return mask; }

template <class T>
T exchanged(Site site, unsigned int mask, T value, int source) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
    std::uint64_t bits = 0;
    std::memcpy(static_cast<void*>(&bits), &value, sizeof(T));
    bits = exchange(site, mask, bits, source);
    std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
    return value;
}

inline int segment_begin(int width) { return lane() & ~(width - 1); }
inline int segment_last(int width) { return segment_begin(width) + width - 1; }

template <class T>
T shuffle(Site site, unsigned int mask, T value, int source, int width = 32) {
    return exchanged(site, mask, value, segment_begin(width) + (source & (width - 1)));
}

template <class T>
T shuffle_xor(Site site, unsigned int mask, T value, int lane_mask, int width = 32) {
    const int source = lane() ^ lane_mask;
    return exchanged(site, mask, value, source > segment_last(width) ? lane() : source);
}

template <class T>
T shuffle_up(Site site, unsigned int mask, T value, unsigned int delta, int width = 32) {
    const int source = lane() - static_cast<int>(delta);
    return exchanged(site, mask, value, source < segment_begin(width) ? lane() : source);
}

template <class T>
T shuffle_down(Site site, unsigned int mask, T value, unsigned int delta, int width = 32) {
    const int source = lane() + static_cast<int>(delta);
    return exchanged(site, mask, value, source > segment_last(width) ? lane() : source);
}

}  // namespace edgefer::host
