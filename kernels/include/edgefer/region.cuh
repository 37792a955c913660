// Rectangles of an image, walked without a division at each pixel, and blocks' own copies of them in shared memory.
#pragma once

#include "halo.cuh"
#include "share.cuh"

namespace edgefer {

struct Region {
    int row;
    int column;
    int rows;
    int columns;
};

EDGEFER_DEVICE int area(const Region& region) { return region.rows * region.columns; }

// The tile of this block, where grid x and y cut an image into tiles of rows x columns. Those at the lower and right
// edge are smaller where the image does not divide.
EDGEFER_DEVICE Region tile_of_block(int rows, int columns, int height, int width) {
    Region tile;
    tile.row = blockIdx.y * rows;
    tile.column = blockIdx.x * columns;
    tile.rows = tile.row + rows < height ? rows : height - tile.row;
    tile.columns = tile.column + columns < width ? columns : width - tile.column;
    return tile;
}

EDGEFER_DEVICE Region with_halo(const Region& tile, int radius, int height, int width) {
    Region halo;
    halo.row = halo_first(tile.row, radius);
    halo.column = halo_first(tile.column, radius);
    halo.rows = halo_end(tile.row + tile.rows, radius, height) - halo.row;
    halo.columns = halo_end(tile.column + tile.columns, radius, width) - halo.column;
    return halo;
}

// Every `stride`-th pixel of a region from the `first` on, in the order of rows. `row` and `column` count from the
// region's corner; the walk is over where `row` reaches the region's rows.
struct Walk {
    int row;
    int column;
    int columns;
    int row_step;
    int column_step;

    EDGEFER_DEVICE Walk(int first, int stride, int columns_)
        : row(quotient_of(first, columns_)),
          column(first - row * columns_),
          columns(columns_),
          row_step(quotient_of(stride, columns_)),
          column_step(stride - row_step * columns_) {}

    EDGEFER_DEVICE void advance() {
        row += row_step;
        column += column_step;
        if (column >= columns) {
            column -= columns;
            row += 1;
        }
    }
};

// The same with a division at each step, and one number less to hold meanwhile.
struct Count {
    int row;
    int column;
    int columns;
    int stride;
    int index;

    EDGEFER_DEVICE Count(int first, int stride_, int columns_)
        : row(quotient_of(first, columns_)),
          column(first - row * columns_),
          columns(columns_),
          stride(stride_),
          index(first) {}

    EDGEFER_DEVICE void advance() {
        index += stride;
        row = quotient_of(index, columns);
        column = index - row * columns;
    }
};

// Walk for a loop that has a register to spare, else Count.
template <bool kSpare>
struct Steps {
    using Type = Walk;
};

template <>
struct Steps<false> {
    using Type = Count;
};

// An image has fewer than 2^31 elements (edgefer/kernels/gating.py), so an int holds an offset in it.

// What a block reads of an image: where `copied`, its copy of the region `held` in shared memory, in the image's own
// layout; else the image where it lies, and `held` is all of it.
template <class T, class L>
struct View {
    const T* image;
    const T* copy;
    Region held;
    int copied;
    int channels;

    // The channels from `channel` on at a row and column of the image.
    EDGEFER_DEVICE Elements<T, L> load(int channel, int row, int column) const {
        const int pixel = (row - held.row) * held.columns + column - held.column;
        const int offset = static_cast<int>(L::offset(channel, pixel, channels, area(held)));
        return copied ? load_elements<T, L>(copy, offset) : load_elements<T, L>(image, offset);
    }
};

// Calls use(local, offset) for each 16 bytes of a region of an image, by the threads of a block between them: where
// they are in a copy of the region alone, and in the image. For layouts with channels together.
template <class T, class L, class Use>
EDGEFER_DEVICE void for_each_group(const Region& region, int channels, int height, int width, Use use) {
    const int groups = channels / kGroup<T, L>;
    const Share share = share_of_block<L>(groups);
#pragma unroll 1
    for (int group = share.group; group < groups; group += share.groups) {
        const int channel = group * kGroup<T, L>;
        int local = share.pixel;
#pragma unroll 1
        for (Walk walk(share.pixel, share.pixels, region.columns); walk.row < region.rows; walk.advance()) {
            const int pixel = (region.row + walk.row) * width + region.column + walk.column;
            use(static_cast<int>(L::offset(channel, local, channels, area(region))),
                static_cast<int>(L::offset(channel, pixel, channels, height * width)));
            local += share.pixels;
        }
    }
}

// Starts copying a region of an image into shared memory.
template <class T, class L>
EDGEFER_DEVICE void copy_region_async(T* copy, const T* image, const Region& region, int channels, int height,
                                      int width) {
    for_each_group<T, L>(region, channels, height, width, [copy, image](int local, int offset) {
        copy_async_16(copy + local, image + offset);
    });
}

// Starts to bring a region of an image into the cache.
template <class T, class L>
EDGEFER_DEVICE void prefetch_region(const T* image, const Region& region, int channels, int height, int width) {
    for_each_group<T, L>(region, channels, height, width,
                         [image](int /*local*/, int offset) { prefetch_line(image + offset); });
}

}  // namespace edgefer
