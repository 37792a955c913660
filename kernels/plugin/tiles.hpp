// How blocks share out the product of a weight matrix with columns of floats: as in edgefer/kernels/tiles.py.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>

#include "plan.hpp"

namespace edgefer {

constexpr int64_t kThreads = 256;
constexpr int64_t kColumnsPerThread = 4;
constexpr int64_t kFloatBytes = 4;
constexpr int64_t kPartialBytes = kThreads * kColumnsPerThread * kFloatBytes;
// What one block may ask for on the GPUs that give it least (compute capability 8.6, 8.9 and 12.0).
constexpr int64_t kLeastSharedBytes = 101376;
// The largest second and third dimension of a grid.
constexpr int64_t kMostImages = 65535;

inline int64_t ceil_div(int64_t count, int64_t size) { return (count + size - 1) / size; }

// The least power of two that is not less than `number`, which is at least 1.
inline int64_t power_of_two(int64_t number) {
    int64_t power = 1;
    while (power < number) {
        power *= 2;
    }
    return power;
}

// `length` elements up to a multiple of 16 bytes.
inline int64_t padded(int64_t length, int64_t element_bytes) {
    const int64_t lanes = 16 / element_bytes;
    return ceil_div(length, lanes) * lanes;
}

// What one block takes: `rows` of a matrix (a power of two) and `columns`, each `length` long before padding.
// `element_bytes` is the size of one weight; the columns are floats.
struct Tile {
    int64_t rows = 0;
    int64_t columns = 0;
    int64_t length = 0;
    int64_t element_bytes = 0;

    int64_t padded() const { return edgefer::padded(length, element_bytes); }
    // Fours of columns, up to a power of two.
    int64_t quads() const { return power_of_two(ceil_div(columns, kColumnsPerThread)); }
    int64_t row_stride() const { return odd_stride(element_bytes); }
    int64_t column_stride() const { return odd_stride(kFloatBytes); }
    int64_t weight_bytes() const { return rows * row_stride() * element_bytes; }
    int64_t column_bytes() const { return columns * column_stride() * kFloatBytes; }
    int64_t shared_bytes() const { return weight_bytes() + column_bytes() + kPartialBytes; }

    // How many tiles a product of so many rows and columns has along each.
    std::pair<int64_t, int64_t> blocks(int64_t all_rows, int64_t all_columns) const {
        return {ceil_div(all_rows, rows), ceil_div(all_columns, columns)};
    }

private:
    // Elements from one row to the next, an odd number of 16 bytes: neighbouring rows begin in different banks.
    int64_t odd_stride(int64_t size) const { return (padded() * size / 16 | 1) * 16 / size; }
};

// The tile for `copies` products of `rows` rows and `columns` columns; nothing where not even the smallest fits.
inline std::optional<Tile> choose_tile(int64_t rows, int64_t columns, int64_t length, int64_t element_bytes,
                                       int64_t copies, const Gpu& gpu) {
    constexpr int64_t kLargestRows = 32;
    constexpr int64_t kLargestColumns = 16;
    constexpr int64_t kLeastRows = 4;
    int64_t height = kLargestRows;
    int64_t width = std::min(kLargestColumns, power_of_two(columns));
    int64_t along = 0;
    while (true) {
        const Tile tile{height, width, length, element_bytes};
        const auto [tiles_down, tiles_along] = tile.blocks(rows, columns);
        along = tiles_along;
        const bool fits = tile.shared_bytes() <= gpu.shared_bytes;
        if (fits && tiles_down * tiles_along * copies >= gpu.multiprocessors) {
            break;
        }
        if (height > kLeastRows && (height > width || width == 1)) {
            height /= 2;
        } else if (width > 1) {
            width /= 2;
        } else if (fits) {
            break;
        } else {
            return std::nullopt;
        }
    }
    return Tile{height, ceil_div(columns, along), length, element_bytes};
}

}  // namespace edgefer
