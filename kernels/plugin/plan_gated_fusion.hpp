// GatedFusion's launches: as in edgefer/kernels/gated_fusion.py.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "edgefer/gated_fusion_params.h"
#include "plan_gated_tower.hpp"

namespace edgefer {

// One node: Fv of `shape` and Fi of `infrared_shape` (N, C, H, W; only H and W may differ) in `form`; weights and the
// output f of type `weights`. One step of an INT8 Fv is worth `x_scale`, one of Fi `r_scale`. `mask` is the type of P;
// nothing without P.
struct GatedFusion {
    std::vector<int64_t> shape;
    std::vector<int64_t> infrared_shape;
    Form form;
    Element weights = Element::kF32;
    std::optional<Element> mask;
    bool square_visible = false;
    bool square_infrared = false;
    bool interleave = false;
    float x_scale = 0.0f;
    float r_scale = 0.0f;

    int64_t visible_pixels() const { return shape[2] * shape[3]; }
    int64_t infrared_pixels() const { return infrared_shape[2] * infrared_shape[3]; }
    Towers towers() const { return Towers{shape[0], shape[1], {visible_pixels(), infrared_pixels()}, form, weights}; }
};

// Why no kernel does this node on some GPU, or "".
inline std::string unsupported(const GatedFusion& node) {
    if (!std::equal(node.shape.begin(), node.shape.begin() + 2, node.infrared_shape.begin())) {
        return "Fv is " + text_of(node.shape) + " and Fi " + text_of(node.infrared_shape) +
               ": only height and width may differ";
    }
    if (node.mask == Element::kI8) {
        return "P is i8, expected f32 or f16";
    }
    return unsupported(node.towers());
}

// Throws Failure: `unsupported` says why there is no plan, or an INT8 map has no scale.
inline Plan<GatedFusionParams> plan(const GatedFusion& node, const Gpu& gpu) {
    const std::string reason = unsupported(node);
    if (!reason.empty()) {
        throw Failure("no kernel of gated_fusion: " + reason);
    }
    Plan<GatedFusionParams> launched = plan_towers<GatedFusionParams>("gated_fusion", node.towers(), gpu);
    launched.parameters.x_scale = step_of(node.form, node.x_scale, "x_scale");
    launched.parameters.r_scale = step_of(node.form, node.r_scale, "r_scale");
    launched.parameters.square_visible = node.square_visible;
    launched.parameters.square_infrared = node.square_infrared;
    launched.parameters.interleave = node.interleave;
    launched.parameters.mask_half = node.mask == Element::kF16;
    launched.parameters.visible_pixels = static_cast<int>(node.visible_pixels());
    launched.parameters.infrared_pixels = static_cast<int>(node.infrared_pixels());
    return launched;
}

}  // namespace edgefer
