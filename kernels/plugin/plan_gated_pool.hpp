// GatedPool's launches: as in edgefer/kernels/gated_pool.py.
#pragma once

#include <string>
#include <vector>

#include "edgefer/gated_pool_params.h"
#include "plan_gated_tower.hpp"

namespace edgefer {

// One node: F of `shape` (N, C, H, W) in `form`; W, b and the output f of type `weights`. `x_scale` is what one step of
// an INT8 F is worth.
struct GatedPool {
    std::vector<int64_t> shape;
    Form form;
    Element weights = Element::kF32;
    bool square = false;
    float x_scale = 0.0f;

    Towers towers() const { return Towers{shape[0], shape[1], {shape[2] * shape[3]}, form, weights}; }
};

// Why no kernel does this node on some GPU, or "".
inline std::string unsupported(const GatedPool& node) { return unsupported(node.towers()); }

// Throws Failure: `unsupported` says why there is no plan, or an INT8 map has no scale.
inline Plan<GatedPoolParams> plan(const GatedPool& node, const Gpu& gpu) {
    Plan<GatedPoolParams> launched = plan_towers<GatedPoolParams>("gated_pool", node.towers(), gpu);
    launched.parameters.x_scale = step_of(node.form, node.x_scale, "x_scale");
    launched.parameters.square = node.square;
    launched.parameters.pixels = static_cast<int>(node.shape[2] * node.shape[3]);
    return launched;
}

}  // namespace edgefer
