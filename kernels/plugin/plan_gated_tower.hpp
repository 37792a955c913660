// What GatedPool and GatedFusion have in common: as in edgefer/kernels/gated_tower.py, which says why.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "form.hpp"
#include "plan.hpp"
#include "plan_weights.hpp"
#include "tiles.hpp"

namespace edgefer {

// One or two maps, each pooled and gated with a matrix of its own. `pixels` has H·W of each.
struct Towers {
    int64_t images = 0;
    int64_t channels = 0;
    std::vector<int64_t> pixels;
    Form form;
    Element weights = Element::kF32;

    // Channels that one thread takes: those of 16 bytes, or one of a linear map.
    int64_t group() const { return form.layout == Layout::kLinear ? 1 : 16 / form.size(); }
    int64_t padded() const { return edgefer::padded(channels, size_of(weights)); }
    int64_t most_pixels() const { return *std::max_element(pixels.begin(), pixels.end()); }

    std::optional<Tile> tile(const Gpu& gpu) const {
        return choose_tile(channels, images, channels, size_of(weights), static_cast<int64_t>(pixels.size()), gpu);
    }

    // Shared memory of a block that pools too: the pooling and the product's partial sums use one place.
    int64_t whole_bytes(const Tile& tile) const {
        return tile.weight_bytes() + tile.column_bytes() + std::max(kPartialBytes, kThreads * group() * kFloatBytes);
    }

    bool in_one_launch(const Tile& tile, const Gpu& gpu) const {
        constexpr int64_t kPooledAgainBytes = 131072;
        if (form.layout == Layout::kLinear || whole_bytes(tile) > gpu.shared_bytes) {
            return false;
        }
        return tile.columns * channels * most_pixels() * form.size() <= kPooledAgainBytes;
    }

    // Groups of channels side by side in the pooling.
    int64_t across(bool whole) const {
        constexpr int64_t kPixelsPerThread = 8;
        constexpr int64_t kWarp = 32;
        constexpr int64_t kGroupsAcross = 8;
        if (form.layout == Layout::kLinear) {
            return kThreads / std::min(power_of_two(ceil_div(most_pixels(), kPixelsPerThread)), kWarp);
        }
        return std::min(power_of_two(channels / group()), whole ? kThreads : kGroupsAcross);
    }
};

// Why no kernel gates these towers on some GPU, or "".
inline std::string unsupported(const Towers& towers) {
    const int64_t pixels = *std::min_element(towers.pixels.begin(), towers.pixels.end());
    if (std::min({towers.images, towers.channels, pixels}) < 1) {
        return "a size is 0 (batch " + std::to_string(towers.images) + ", " + std::to_string(towers.channels) +
               " channels, " + std::to_string(pixels) + " pixels)";
    }
    if (towers.images > kMostImages) {
        return "a batch of " + std::to_string(towers.images) + ", at most " + std::to_string(kMostImages);
    }
    const std::string problem = form_problem(towers.form, towers.channels, towers.weights);
    if (!problem.empty()) {
        return problem;
    }
    if (!towers.tile(Gpu{0, 0, 1, kLeastSharedBytes})) {
        return std::to_string(towers.channels) +
               " channels: four rows of weights and one image's means do not fit into shared memory";
    }
    return "";
}

// The plan without the parameters that only the operation knows.
//
// Throws Failure: `unsupported` says why.
template <class Params>
Plan<Params> plan_towers(const std::string& operation, const Towers& towers, const Gpu& gpu) {
    const std::string reason = unsupported(towers);
    const std::optional<Tile> tile = reason.empty() ? towers.tile(gpu) : std::nullopt;
    if (!tile) {
        throw Failure("no kernel of " + operation + ": " +
                      (reason.empty() ? "this GPU has too little shared memory" : reason));
    }
    const bool whole = towers.in_one_launch(*tile, gpu);
    const int64_t across = towers.across(whole);
    const auto count = static_cast<int64_t>(towers.pixels.size());
    const auto [down, along] = tile->blocks(towers.channels, towers.images);
    Plan<Params> plan;
    plan.parameters.images = static_cast<int>(towers.images);
    plan.parameters.channels = static_cast<int>(towers.channels);
    plan.parameters.padded = static_cast<int>(towers.padded());
    plan.parameters.across = static_cast<int>(across);
    plan.parameters.rows = static_cast<int>(tile->rows);
    plan.parameters.columns = static_cast<int>(tile->columns);
    plan.parameters.quads = static_cast<int>(tile->quads());
    plan.parameters.row_stride = static_cast<int>(tile->row_stride());
    plan.parameters.column_stride = static_cast<int>(tile->column_stride());
    const std::string prefix = "edgefer_" + operation + "_";
    if (whole) {
        plan.launches = {{prefix + "whole_" + code_of(towers.form, towers.weights),
                          {down, along, count},
                          kThreads,
                          towers.whole_bytes(*tile)}};
        return plan;
    }
    const int64_t slices = ceil_div(towers.padded(), across * towers.group());
    plan.launches = {
        {prefix + "pool_" + towers.form.code(),
         {slices, towers.images, count},
         kThreads,
         kThreads * towers.group() * kFloatBytes},
        {prefix + "gate_" + suffix_of(towers.weights), {down, along, count}, kThreads, tile->shared_bytes()}};
    plan.workspace_bytes = count * towers.images * towers.padded() * kFloatBytes;
    return plan;
}

}  // namespace edgefer
