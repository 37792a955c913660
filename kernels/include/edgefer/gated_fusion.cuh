// GatedFusion: two GatedPools side by side or interleaved, each half times a mask of the modality. The third dimension
// of the grid is the tower; gated_tower.cuh says how one is computed.
#pragma once

#include "gated_fusion_params.h"
#include "gated_tower.cuh"

namespace edgefer {

// The tower of this block. V is the type of the weights, and of f.
template <class V>
EDGEFER_DEVICE Tower tower_of(const GatedFusionParams& p) {
    const bool visible = blockIdx.z == 0;
    const int column = visible ? 0 : 1;
    const bool interleave = p.interleave != 0;
    V* output = static_cast<V*>(p.f) + (interleave ? column : column * p.channels);
    const long long means = static_cast<long long>(column) * p.images * p.padded;
    return {visible ? p.Fv : p.Fi,
            visible ? p.Wv : p.Wi,
            visible ? p.bv : p.bi,
            p.workspace + means,
            visible ? p.x_scale : p.r_scale,
            visible ? p.square_visible : p.square_infrared,
            visible ? p.visible_pixels : p.infrared_pixels,
            output,
            2 * p.channels,
            interleave ? 2 : 1,
            p.P,
            p.mask_half,
            column};
}

template <class T, class L>
EDGEFER_DEVICE void gated_fusion_pool(const GatedFusionParams& p) {
    // The output is not looked at here, so its type makes no difference.
    tower_pool<T, L>(p, tower_of<float>(p));
}

template <class V>
EDGEFER_DEVICE void gated_fusion_gate(const GatedFusionParams& p) {
    tower_gate<V>(p, tower_of<V>(p));
}

template <class T, class L, class V>
EDGEFER_DEVICE void gated_fusion_whole(const GatedFusionParams& p) {
    tower_whole<T, L, V>(p, tower_of<V>(p));
}

}  // namespace edgefer
