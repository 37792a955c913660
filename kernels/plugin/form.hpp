// Forms of a tensor in GPU memory, as edgefer/kernels/forms.py has them: element type and layout.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace edgefer {

enum class Element { kF32, kF16, kI8 };
enum class Layout { kLinear, kHwc, kChw32 };

inline const char* name_of(Element element) {
    return element == Element::kF32 ? "f32" : element == Element::kF16 ? "f16" : "i8";
}

// Bytes of one element.
inline int64_t size_of(Element element) { return element == Element::kF32 ? 4 : element == Element::kF16 ? 2 : 1; }

// `linear` is (N, C, H, W), `hwc` (N, H, W, C), `chw32` (N, C/32, H, W, 32).
struct Form {
    Element element = Element::kF32;
    Layout layout = Layout::kLinear;

    bool operator==(const Form& other) const { return element == other.element && layout == other.layout; }
    bool operator!=(const Form& other) const { return !(*this == other); }

    int64_t size() const { return size_of(element); }

    // As in the names of entries: `f16h` for halves in (N, H, W, C).
    std::string code() const {
        return std::string(name_of(element)) + (layout == Layout::kLinear ? "n" : layout == Layout::kHwc ? "h" : "c");
    }

    // What the number of channels must be a multiple of, so that 16 bytes never hold two pixels or padding.
    int64_t channel_multiple() const {
        return layout == Layout::kLinear ? 1 : layout == Layout::kHwc ? 16 / size() : 32;
    }

    // Whether a tensor of so many channels has this form.
    bool takes(int64_t channels) const { return channels % channel_multiple() == 0; }
};

// As in messages: [2, 64, 56, 56].
inline std::string text_of(const std::vector<int64_t>& shape) {
    std::string sizes;
    for (const int64_t size : shape) {
        sizes += (sizes.empty() ? "" : ", ") + std::to_string(size);
    }
    return "[" + sizes + "]";
}

// A tensor as a kernel meets it; weights and vectors are linear.
struct Tensor {
    std::vector<int64_t> shape;
    Form form;
};

}  // namespace edgefer
