// LocalGate's launches: as in edgefer/kernels/local_gate.py, which says why.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "edgefer/local_gate_params.h"
#include "form.hpp"
#include "plan.hpp"
#include "plan_weights.hpp"
#include "tiles.hpp"

namespace edgefer {

// One node: Z of `shape` (N, C, H, W) in `form`; W1 (hidden, C), b1, W2 (C, hidden), b2 and the output f (N, C) of type
// `weights`. `x_scale` is what one step of an INT8 Z is worth.
struct LocalGate {
    std::vector<int64_t> shape;
    int64_t hidden = 0;
    Form form;
    Element weights = Element::kF32;
    float x_scale = 0.0f;

    int64_t images() const { return shape[0]; }
    int64_t channels() const { return shape[1]; }
    int64_t pixels() const { return shape[2] * shape[3]; }
    int64_t hidden_padded() const { return padded(hidden, size_of(weights)); }

    // Of the first launch.
    std::optional<Tile> hidden_tile(const Gpu& gpu) const {
        return choose_tile(hidden_padded(), pixels(), channels(), size_of(weights), images(), gpu);
    }

    // Of the second launch: fewer rows until every multiprocessor has a block, then fewer pixels at a time and at last
    // fewer rows until they fit. The pixels are shared out evenly. The channels in 16 bytes of Z are not divided.
    std::optional<Tile> gate_tile(const Gpu& gpu) const {
        constexpr int64_t kLargestRows = 16;
        constexpr int64_t kLargestColumns = 64;
        const int64_t least = form.layout == Layout::kLinear ? 4 : 16 / form.size();
        int64_t rows = kLargestRows;
        while (rows > least && ceil_div(channels(), rows) * images() < gpu.multiprocessors) {
            rows /= 2;
        }
        int64_t columns = std::min(kLargestColumns, pixels());
        while (true) {
            columns = ceil_div(pixels(), ceil_div(pixels(), columns));
            const Tile tile{rows, columns, hidden, size_of(weights)};
            if (gate_bytes(tile) <= gpu.shared_bytes) {
                return tile;
            }
            if (columns > 1) {
                columns = ceil_div(columns, 2);
            } else if (rows > least) {
                rows /= 2;
            } else {
                return std::nullopt;
            }
        }
    }

    // Shared memory of the second launch: the product's, and the block's channels of the same pixels.
    static int64_t gate_bytes(const Tile& tile) {
        const int64_t columns = std::max(tile.column_bytes(), kThreads * kFloatBytes);
        return tile.weight_bytes() + columns + tile.columns * tile.rows * kFloatBytes + kPartialBytes;
    }
};

// Why no kernel does this node on some GPU, or "".
inline std::string unsupported(const LocalGate& node) {
    if (std::min({node.images(), node.channels(), node.pixels(), node.hidden}) < 1) {
        return "a size is 0 (batch " + std::to_string(node.images()) + ", " + std::to_string(node.channels()) +
               " channels, " + std::to_string(node.pixels()) + " pixels, " + std::to_string(node.hidden) +
               " hidden ones)";
    }
    if (node.images() > kMostImages) {
        return "a batch of " + std::to_string(node.images()) + ", at most " + std::to_string(kMostImages);
    }
    const std::string problem = form_problem(node.form, node.channels(), node.weights);
    if (!problem.empty()) {
        return problem;
    }
    const Gpu least{0, 0, 1, kLeastSharedBytes};
    const std::optional<Tile> first = node.hidden_tile(least);
    if (!first || !node.gate_tile(least)) {
        return std::to_string(node.channels()) + " channels and " + std::to_string(node.hidden) +
               " hidden ones: one pixel's do not fit into shared memory";
    }
    // So many pixels keep every GPU busy, and those with more shared memory take no smaller tiles.
    const int64_t most = first->columns * kMostImages;
    if (node.pixels() > most) {
        return std::to_string(node.pixels()) + " pixels of " + std::to_string(node.channels()) + " channels, at most " +
               std::to_string(most);
    }
    return "";
}

// Throws Failure: `unsupported` says why there is no plan, or an INT8 map has no scale.
inline Plan<LocalGateParams> plan(const LocalGate& node, const Gpu& gpu) {
    const std::string reason = unsupported(node);
    const std::optional<Tile> first = reason.empty() ? node.hidden_tile(gpu) : std::nullopt;
    const std::optional<Tile> second = reason.empty() ? node.gate_tile(gpu) : std::nullopt;
    if (!first || !second) {
        throw Failure("no kernel of local_gate: " +
                      (reason.empty() ? "this GPU has too little shared memory" : reason));
    }
    const auto [down, along] = first->blocks(node.hidden_padded(), node.pixels());
    const std::string name = code_of(node.form, node.weights);
    Plan<LocalGateParams> plan;
    plan.launches = {
        {"edgefer_local_gate_hidden_" + name, {down, along, node.images()}, kThreads, first->shared_bytes()},
        {"edgefer_local_gate_gate_" + name,
         {ceil_div(node.channels(), second->rows), node.images(), 1},
         kThreads,
         LocalGate::gate_bytes(*second)}};
    LocalGateParams& parameters = plan.parameters;
    parameters.x_scale = step_of(node.form, node.x_scale, "x_scale");
    parameters.channels = static_cast<int>(node.channels());
    parameters.padded = static_cast<int>(padded(node.channels(), size_of(node.weights)));
    parameters.pixels = static_cast<int>(node.pixels());
    parameters.hidden = static_cast<int>(node.hidden);
    parameters.hidden_padded = static_cast<int>(node.hidden_padded());
    parameters.rows1 = static_cast<int>(first->rows);
    parameters.columns1 = static_cast<int>(first->columns);
    parameters.quads1 = static_cast<int>(first->quads());
    parameters.row_stride1 = static_cast<int>(first->row_stride());
    parameters.column_stride1 = static_cast<int>(first->column_stride());
    parameters.rows2 = static_cast<int>(second->rows);
    parameters.columns2 = static_cast<int>(second->columns);
    parameters.quads2 = static_cast<int>(second->quads());
    parameters.row_stride2 = static_cast<int>(second->row_stride());
    parameters.column_stride2 = static_cast<int>(second->column_stride());
    plan.workspace_bytes = node.images() * node.pixels() * node.hidden_padded() * kFloatBytes;
    return plan;
}

}  // namespace edgefer
