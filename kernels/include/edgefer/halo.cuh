// A window of radius r around a pixel reaches r rows and columns beyond a tile: as far as the image goes, no further.
#pragma once

#include "platform.cuh"

namespace edgefer {

// The first row, or column, that a tile beginning at `first` needs.
EDGEFER_DEVICE int halo_first(int first, int radius) { return first > radius ? first - radius : 0; }

// One past the last row, or column, that a tile ending before `end` needs; `size` is the image's height or width.
EDGEFER_DEVICE int halo_end(int end, int radius, int size) { return end + radius < size ? end + radius : size; }

}  // namespace edgefer
