// What the plans of CBAM and of the channel gate share: as in edgefer/kernels/gating.py, which says why.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "form.hpp"
#include "plan.hpp"
#include "plan_weights.hpp"
#include "tiles.hpp"

namespace edgefer {

constexpr int64_t kPoolThreads = 256;
// Of the other launches.
constexpr int64_t kGateThreads = 512;

// Forms of X (and of a residual) and of Y, and the type of the weights.
struct GateForms {
    Form x;
    Form y;
    Element weights = Element::kF32;

    bool operator==(const GateForms& other) const { return x == other.x && y == other.y && weights == other.weights; }

    // As in the names of entries, `f16h_i8c` or `i8c_i8c_w16`.
    std::string codes() const {
        return x.code() + "_" + y.code() + (x.element == Element::kI8 ? "_" + suffix_of(weights) : "");
    }

    // Whether there are entries for them.
    bool known() const {
        constexpr Form f32_linear{Element::kF32, Layout::kLinear};
        constexpr Form f32_hwc{Element::kF32, Layout::kHwc};
        constexpr Form f16_linear{Element::kF16, Layout::kLinear};
        constexpr Form f16_hwc{Element::kF16, Layout::kHwc};
        constexpr Form i8_chw32{Element::kI8, Layout::kChw32};
        static const std::array<GateForms, 8> all = {{{f32_linear, f32_linear, Element::kF32},
                                                      {f32_hwc, f32_hwc, Element::kF32},
                                                      {f16_linear, f16_linear, Element::kF16},
                                                      {f16_hwc, f16_hwc, Element::kF16},
                                                      {f32_hwc, i8_chw32, Element::kF32},
                                                      {f16_hwc, i8_chw32, Element::kF16},
                                                      {i8_chw32, i8_chw32, Element::kF32},
                                                      {i8_chw32, i8_chw32, Element::kF16}}};
        return std::find(all.begin(), all.end(), *this) != all.end();
    }
};

// X is (batch, channels, height, width); `hidden` units in the MLP.
struct GateSizes {
    std::vector<int64_t> shape;
    int64_t hidden = 0;

    int64_t batch() const { return shape[0]; }
    int64_t channels() const { return shape[1]; }
    int64_t height() const { return shape[2]; }
    int64_t width() const { return shape[3]; }
    int64_t pixels() const { return height() * width(); }
    // Elements of the MLP's two matrices, all of which every block passes through.
    int64_t weights() const { return 2 * channels() * hidden; }
};

// Why there is no kernel for these sizes in these forms, or "" if there is.
inline std::string unsupported(const GateForms& forms, const GateSizes& sizes) {
    if (std::min(*std::min_element(sizes.shape.begin(), sizes.shape.end()), sizes.hidden) < 1) {
        return "X has the shape " + text_of(sizes.shape) + " and the hidden layer " + std::to_string(sizes.hidden) +
               " units, and none may be 0";
    }
    if (!forms.known()) {
        return "there is no kernel from " + forms.x.code() + " to " + forms.y.code() + " with weights in " +
               name_of(forms.weights);
    }
    for (const Form& form : {forms.x, forms.y}) {
        if (!form.takes(sizes.channels())) {
            return std::to_string(sizes.channels()) + " channels, and the form " + form.code() +
                   " takes multiples of " + std::to_string(form.channel_multiple());
        }
    }
    const struct {
        const char* name;
        int64_t found;
        int64_t limit;
    } limits[] = {{"channels", sizes.channels(), 4096},
                  {"hidden units", sizes.hidden, 1024},
                  {"images in a batch", sizes.batch(), 65535},
                  {"elements in an image", sizes.channels() * sizes.pixels(), 2147483647}};
    for (const auto& each : limits) {
        if (each.found > each.limit) {
            return std::to_string(each.found) + " " + each.name + ", and the kernels take up to " +
                   std::to_string(each.limit);
        }
    }
    return "";
}

// Channels rounded up to 4: what a vector of them takes in shared memory and in the workspace.
inline int64_t pitch(int64_t channels) { return ceil_div(channels, 4) * 4; }

// Channels that a thread takes at once: those of 16 bytes, or one in a linear layout.
inline int64_t group_of(const Form& form) { return form.layout == Layout::kLinear ? 1 : 16 / form.size(); }

// Among how many threads a block divides the pixels of a group of channels while it pools X.
inline int64_t pooling_lanes(const Form& form, int64_t channels, int64_t threads) {
    return form.layout == Layout::kLinear ? 1 : threads / std::min(channels / group_of(form), threads);
}

// The same while it pools `bands` partial results.
inline int64_t partial_lanes(int64_t channels, int64_t threads, int64_t bands) {
    return std::min(threads / std::min(pitch(channels) / 4, threads), bands);
}

// What a launch of `blocks` costs, each with so much shared memory and `work` (in elements passed through).
inline int64_t cost_of(const Gpu& gpu, int64_t blocks, int64_t shared_bytes, int64_t work) {
    constexpr int64_t kLatency = 65536;
    constexpr int64_t kResident = 2;
    const int64_t fit = gpu.shared_bytes / std::max<int64_t>(shared_bytes, 1);
    const int64_t resident = std::max<int64_t>(1, std::min(kResident, fit));
    return ceil_div(blocks, resident * gpu.multiprocessors) * kLatency + ceil_div(blocks, gpu.multiprocessors) * work;
}

// The launch that pools: `bands` of `pixels` each, the last one perhaps smaller.
struct Pooling {
    int64_t bands = 1;
    int64_t pixels = 0;
    int64_t shared_bytes = 0;
    int64_t cost = 0;
};

// How images are pooled in bands. `planes` is 2 where maxima are wanted beside sums.
inline Pooling pooling(const Form& form, const GateSizes& sizes, int64_t planes, const Gpu& gpu) {
    const int64_t lanes = pooling_lanes(form, sizes.channels(), kPoolThreads);
    const int64_t at_once = form.layout == Layout::kLinear ? 32 : lanes;
    const int64_t wanted =
        std::min(ceil_div(sizes.pixels(), 4 * at_once), ceil_div(2 * int64_t{gpu.multiprocessors}, sizes.batch()));
    Pooling pool;
    pool.pixels = ceil_div(sizes.pixels(), wanted);
    pool.bands = ceil_div(sizes.pixels(), pool.pixels);
    pool.shared_bytes = lanes * planes * pitch(sizes.channels()) * kFloatBytes;
    pool.cost = cost_of(gpu, pool.bands * sizes.batch(), pool.shared_bytes, sizes.channels() * pool.pixels);
    return pool;
}

// What the parts of `length` can measure, largest first: from equal division into up to `most`, then halving.
inline std::vector<int64_t> part_sizes(int64_t length, int64_t most) {
    std::vector<int64_t> sizes;
    int64_t last = 0;
    for (int64_t parts = 1; parts <= std::min(length, most); ++parts) {
        const int64_t size = ceil_div(length, parts);
        if (size != last) {
            sizes.push_back(size);
        }
        last = size;
    }
    while (last > 1) {
        last /= 2;
        sizes.push_back(last);
    }
    return sizes;
}

}  // namespace edgefer
