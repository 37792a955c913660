// The channel gate's launches (squeeze-and-excite): as in edgefer/kernels/channel_gate.py, which says why.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "edgefer/channel_gate_params.h"
#include "gating.hpp"

namespace edgefer {

// One node: X in `forms.x`, Y in `forms.y`; the gate is the sigmoid of a score, or its hard form
// max(0, min(1, alpha * score + beta)). The scales are what one step of an INT8 X or Y is worth.
struct ChannelGate {
    GateSizes sizes;
    GateForms forms;
    std::string gate = "sigmoid";
    float alpha = 0.2f;
    float beta = 0.5f;
    float x_scale = 0.0f;
    float y_scale = 0.0f;
};

// The pixels that one block of `apply` or `single` writes, and whether it copies them into shared memory.
struct ChannelGateTile {
    int64_t pixels = 0;
    bool copied = false;
    int64_t shared_bytes = 0;
};

// A tile of so many pixels. Without `pool` the block pools X itself.
inline ChannelGateTile channel_gate_tile(const ChannelGate& node, int64_t pixels, const Pooling* pool, bool copied) {
    const int64_t channels = node.sizes.channels();
    const Form& form = node.forms.x;
    const int64_t lanes = pool == nullptr ? pooling_lanes(form, channels, kGateThreads)
                                          : partial_lanes(channels, kGateThreads, pool->bands);
    const int64_t floats = (2 + lanes) * pitch(channels) + pitch(node.sizes.hidden);
    const int64_t copy = copied ? ceil_div(pixels * channels * form.size(), 16) * 16 : 0;
    return {pixels, copied, copy + kFloatBytes * floats};
}

// What `apply` costs with a tile.
inline int64_t channel_gate_cost(const ChannelGate& node, const ChannelGateTile& tile, const Pooling& pool,
                                 const Gpu& gpu) {
    const GateSizes& sizes = node.sizes;
    const int64_t work = sizes.channels() * tile.pixels * (tile.copied ? 1 : 2);
    return cost_of(gpu, sizes.batch() * ceil_div(sizes.pixels(), tile.pixels), tile.shared_bytes,
                   work + sizes.weights() + pool.bands * pitch(sizes.channels()));
}

// The tile with which `apply` costs least, copied where that fits; nothing where no tile fits.
inline std::optional<ChannelGateTile> best_channel_gate_tile(const ChannelGate& node, const Pooling& pool,
                                                             const Gpu& gpu) {
    std::optional<ChannelGateTile> best;
    int64_t least = 0;
    for (const int64_t pixels : part_sizes(node.sizes.pixels(), 2 * int64_t{gpu.multiprocessors})) {
        for (const bool copied : {true, false}) {
            if (copied && node.forms.x.layout == Layout::kLinear) {
                continue;
            }
            const ChannelGateTile tile = channel_gate_tile(node, pixels, &pool, copied);
            if (tile.shared_bytes > gpu.shared_bytes) {
                continue;
            }
            const int64_t cost = channel_gate_cost(node, tile, pool, gpu);
            if (!best || cost < least) {
                best = tile;
                least = cost;
            }
            break;
        }
    }
    return best;
}

// Why there is no kernel for this node, or "" if there is.
inline std::string unsupported(const ChannelGate& node) {
    if (node.gate != "sigmoid" && node.gate != "hard_sigmoid") {
        return "a gate '" + node.gate + "', and the kernels have sigmoid and hard_sigmoid";
    }
    return unsupported(node.forms, node.sizes);
}

inline ChannelGateParams channel_gate_parameters(const ChannelGate& node, const ChannelGateTile& tile,
                                                 const Pooling& pool) {
    ChannelGateParams parameters{};
    parameters.channels = static_cast<int>(node.sizes.channels());
    parameters.pixels = static_cast<int>(node.sizes.pixels());
    parameters.hidden = static_cast<int>(node.sizes.hidden);
    parameters.hard = node.gate == "hard_sigmoid";
    parameters.pool_bands = static_cast<int>(pool.bands);
    parameters.pool_pixels = static_cast<int>(pool.pixels);
    parameters.tile_pixels = static_cast<int>(tile.pixels);
    parameters.copied = tile.copied;
    parameters.alpha = node.alpha;
    parameters.beta = node.beta;
    parameters.x_scale = step_of(node.forms.x, node.x_scale, "x_scale");
    parameters.y_scale = step_of(node.forms.y, node.y_scale, "y_scale");
    return parameters;
}

// The launches that are taken to cost least: `pool` and `apply`, or `single`.
//
// Throws Failure: there is no kernel, an INT8 tensor has no scale, or the gates of all channels do not fit in the GPU's
// shared memory.
inline Plan<ChannelGateParams> plan(const ChannelGate& node, const Gpu& gpu) {
    const std::string reason = unsupported(node);
    if (!reason.empty()) {
        throw Failure(reason);
    }
    const GateSizes& sizes = node.sizes;
    const Pooling pool = pooling(node.forms.x, sizes, 1, gpu);
    const std::optional<ChannelGateTile> apply = best_channel_gate_tile(node, pool, gpu);
    const ChannelGateTile whole = channel_gate_tile(node, sizes.pixels(), nullptr, true);
    const std::string prefix = "edgefer_channel_gate_";
    const std::string codes = node.forms.codes();
    if (whole.shared_bytes <= gpu.shared_bytes) {
        const int64_t work = 2 * sizes.channels() * sizes.pixels() + sizes.weights();
        const int64_t single = cost_of(gpu, sizes.batch(), whole.shared_bytes, work);
        if (!apply || single <= pool.cost + channel_gate_cost(node, *apply, pool, gpu)) {
            const Pooling none{1, sizes.pixels(), 0, 0};
            return {{{prefix + "single_" + codes, {1, 1, sizes.batch()}, kGateThreads, whole.shared_bytes}},
                    channel_gate_parameters(node, whole, none),
                    0};
        }
    }
    if (!apply) {
        throw Failure(std::to_string(gpu.shared_bytes) + " bytes of shared memory are too few for " +
                      std::to_string(sizes.channels()) + " channels");
    }
    const int64_t tiles = ceil_div(sizes.pixels(), apply->pixels);
    return {{{prefix + "pool_" + node.forms.x.code(), {pool.bands, 1, sizes.batch()}, kPoolThreads, pool.shared_bytes},
             {prefix + "apply_" + codes, {tiles, 1, sizes.batch()}, kGateThreads, apply->shared_bytes}},
            channel_gate_parameters(node, *apply, pool),
            sizes.batch() * pool.bands * pitch(sizes.channels()) * kFloatBytes};
}

}  // namespace edgefer
