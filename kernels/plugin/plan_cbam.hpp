// CBAM's launches: as in edgefer/kernels/cbam.py, which says why.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "edgefer/cbam_params.h"
#include "gating.hpp"

namespace edgefer {

// One node: X in `forms.x`, Y in `forms.y`; a spatial convolution of `kernel` squared. `residual`: whether R, in the
// form of X, is added before the ReLU. The scales are what one step of an INT8 X, R or Y is worth.
struct Cbam {
    GateSizes sizes;
    GateForms forms;
    int64_t kernel = 7;
    bool relu = false;
    bool residual = false;
    float x_scale = 0.0f;
    float r_scale = 0.0f;
    float y_scale = 0.0f;

    // X's pixels that a part of so many rows and columns needs, with half the convolution around them.
    int64_t surroundings(int64_t rows, int64_t columns) const {
        const int64_t halo = kernel / 2 * 2;
        return std::min(sizes.height(), rows + halo) * std::min(sizes.width(), columns + halo);
    }
};

// What one block of `apply` or `single` writes, and whether it copies its part of X into shared memory.
struct CbamTile {
    int64_t rows = 0;
    int64_t columns = 0;
    bool copied = false;
    int64_t shared_bytes = 0;
};

// A tile of so many rows and columns. Without `pool` the block pools X itself.
inline CbamTile cbam_tile(const Cbam& node, int64_t rows, int64_t columns, const Pooling* pool, bool copied) {
    constexpr int64_t kWeightPitch = 8;
    const int64_t channels = node.sizes.channels();
    const Form& form = node.forms.x;
    const int64_t halo = node.kernel / 2 * 2;
    const int64_t lanes = pool == nullptr ? pooling_lanes(form, channels, kGateThreads)
                                          : partial_lanes(channels, kGateThreads, pool->bands);
    const int64_t floats = (3 + 2 * lanes) * pitch(channels) + pitch(node.sizes.hidden) +
                           2 * node.kernel * kWeightPitch + pitch(rows * columns) +
                           pitch(2 * (rows + halo) * (columns + halo));
    const int64_t copy = copied ? ceil_div(node.surroundings(rows, columns) * channels * form.size(), 16) * 16 : 0;
    return {rows, columns, copied, copy + kFloatBytes * floats};
}

// The tile of a size with its part of X copied where that fits; nothing where it fits in neither way.
inline std::optional<CbamTile> fitting_cbam_tile(const Cbam& node, int64_t rows, int64_t columns, const Pooling& pool,
                                                 const Gpu& gpu) {
    for (const bool copied : {true, false}) {
        if (copied && node.forms.x.layout == Layout::kLinear) {
            continue;
        }
        const CbamTile tile = cbam_tile(node, rows, columns, &pool, copied);
        if (tile.shared_bytes <= gpu.shared_bytes) {
            return tile;
        }
    }
    return std::nullopt;
}

// What `apply` costs with a tile.
inline int64_t cbam_cost(const Cbam& node, const CbamTile& tile, const Pooling& pool, const Gpu& gpu) {
    const GateSizes& sizes = node.sizes;
    const int64_t passed = node.surroundings(tile.rows, tile.columns) + tile.rows * tile.columns;
    const int64_t work = sizes.channels() * passed * (tile.copied ? 1 : 2);
    const int64_t blocks = sizes.batch() * ceil_div(sizes.height(), tile.rows) * ceil_div(sizes.width(), tile.columns);
    const int64_t once = sizes.weights() + 2 * pool.bands * pitch(sizes.channels());
    return cost_of(gpu, blocks, tile.shared_bytes, work + once);
}

// The tile with which `apply` costs least; nothing where no tile fits.
inline std::optional<CbamTile> best_cbam_tile(const Cbam& node, const Pooling& pool, const Gpu& gpu) {
    constexpr int64_t kMostParts = 32;
    // A row of a linear tile is what a warp reads together.
    const int64_t narrowest = node.forms.x.layout == Layout::kLinear ? std::min<int64_t>(32, node.sizes.width()) : 1;
    const std::vector<int64_t> widths = part_sizes(node.sizes.width(), kMostParts);
    std::optional<CbamTile> best;
    int64_t least = 0;
    for (const int64_t rows : part_sizes(node.sizes.height(), kMostParts)) {
        for (const int64_t columns : widths) {
            if (columns < narrowest && rows > 1) {
                continue;
            }
            const std::optional<CbamTile> tile = fitting_cbam_tile(node, rows, columns, pool, gpu);
            const int64_t cost = tile ? cbam_cost(node, *tile, pool, gpu) : 0;
            if (tile && (!best || cost < least)) {
                best = tile;
                least = cost;
            }
        }
    }
    return best;
}

// Why there is no kernel for this node, or "" if there is.
inline std::string unsupported(const Cbam& node) {
    if (node.kernel != 3 && node.kernel != 5 && node.kernel != 7) {
        const std::string kernel = std::to_string(node.kernel);
        return "a spatial convolution of " + kernel + " x " + kernel + ", and the kernels have 3, 5 and 7";
    }
    return unsupported(node.forms, node.sizes);
}

inline CbamParams cbam_parameters(const Cbam& node, const CbamTile& tile, const Pooling& pool) {
    CbamParams parameters{};
    parameters.channels = static_cast<int>(node.sizes.channels());
    parameters.height = static_cast<int>(node.sizes.height());
    parameters.width = static_cast<int>(node.sizes.width());
    parameters.hidden = static_cast<int>(node.sizes.hidden);
    parameters.kernel = static_cast<int>(node.kernel);
    parameters.relu = node.relu;
    parameters.pool_bands = static_cast<int>(pool.bands);
    parameters.pool_pixels = static_cast<int>(pool.pixels);
    parameters.tile_rows = static_cast<int>(tile.rows);
    parameters.tile_columns = static_cast<int>(tile.columns);
    parameters.copied = tile.copied;
    parameters.x_scale = step_of(node.forms.x, node.x_scale, "x_scale");
    parameters.r_scale = node.residual ? step_of(node.forms.x, node.r_scale, "r_scale") : 1.0f;
    parameters.y_scale = step_of(node.forms.y, node.y_scale, "y_scale");
    return parameters;
}

// The launches that are taken to cost least: `pool` and `apply`, or `single`.
//
// Throws Failure: there is no kernel, an INT8 tensor has no scale, or not even one pixel's surroundings fit in the
// GPU's shared memory.
inline Plan<CbamParams> plan(const Cbam& node, const Gpu& gpu) {
    const std::string reason = unsupported(node);
    if (!reason.empty()) {
        throw Failure(reason);
    }
    const GateSizes& sizes = node.sizes;
    const Pooling pool = pooling(node.forms.x, sizes, 2, gpu);
    const std::optional<CbamTile> apply = best_cbam_tile(node, pool, gpu);
    const CbamTile whole = cbam_tile(node, sizes.height(), sizes.width(), nullptr, true);
    const std::string codes = node.forms.codes();
    if (whole.shared_bytes <= gpu.shared_bytes) {
        const int64_t work = 3 * sizes.channels() * sizes.pixels() + sizes.weights();
        const int64_t single = cost_of(gpu, sizes.batch(), whole.shared_bytes, work);
        if (!apply || single <= pool.cost + cbam_cost(node, *apply, pool, gpu)) {
            const Pooling none{1, sizes.pixels(), 0, 0};
            return {{{"edgefer_cbam_single_" + codes, {1, 1, sizes.batch()}, kGateThreads, whole.shared_bytes}},
                    cbam_parameters(node, whole, none),
                    0};
        }
    }
    if (!apply) {
        throw Failure(std::to_string(gpu.shared_bytes) + " bytes of shared memory are too few for " +
                      std::to_string(sizes.channels()) + " channels");
    }
    const int64_t across = ceil_div(sizes.width(), apply->columns);
    const int64_t down = ceil_div(sizes.height(), apply->rows);
    return {
        {{"edgefer_cbam_pool_" + node.forms.x.code(), {pool.bands, 1, sizes.batch()}, kPoolThreads, pool.shared_bytes},
         {"edgefer_cbam_apply_" + codes, {across, down, sizes.batch()}, kGateThreads, apply->shared_bytes}},
        cbam_parameters(node, *apply, pool),
        sizes.batch() * pool.bands * 2 * pitch(sizes.channels()) * kFloatBytes};
}

}  // namespace edgefer
