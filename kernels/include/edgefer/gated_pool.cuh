// GatedPool: a map's mean per channel, times the sigmoid of W p + b, or of W p² + b. gated_tower.cuh says how.
#pragma once

#include "gated_pool_params.h"
#include "gated_tower.cuh"

namespace edgefer {

EDGEFER_DEVICE Tower tower_of(const GatedPoolParams& p) {
    return {p.F, p.W, p.b, p.workspace, p.x_scale, p.square, p.pixels, p.f, p.channels, 1, nullptr, 0, 0};
}

template <class T, class L>
EDGEFER_DEVICE void gated_pool_pool(const GatedPoolParams& p) {
    tower_pool<T, L>(p, tower_of(p));
}

template <class V>
EDGEFER_DEVICE void gated_pool_gate(const GatedPoolParams& p) {
    tower_gate<V>(p, tower_of(p));
}

template <class T, class L, class V>
EDGEFER_DEVICE void gated_pool_whole(const GatedPoolParams& p) {
    tower_whole<T, L, V>(p, tower_of(p));
}

}  // namespace edgefer
