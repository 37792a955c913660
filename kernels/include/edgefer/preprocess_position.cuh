// Where in a frame a sample is taken, through a homography, to a hundred-thousandth of a pixel in frames of any size.
//
// A float has no digits for that: at column 1,000 its step is 6e-5. The centre of a pixel of the input is therefore
// computed once in sums of two floats, and its samples as small distances from there.
#pragma once

#include "platform.cuh"
#include "preprocess_params.h"

namespace edgefer {

// A number as the sum of two; `low` is what rounding took from `high`.
struct Twofold {
    float high;
    float low;
};

// A position on one axis: the pixel at or before it, and the share of the way to the next.
struct Place {
    float cell;
    float share;
};

// A product that is not contracted with a sum behind it.
EDGEFER_DEVICE float rounded_product(float a, float b) {
#if defined(EDGEFER_HOST)
    const volatile float product = a * b;
    return product;
#else
    return __fmul_rn(a, b);
#endif
}

// a + b - sum, exactly, where sum = a + b rounded (TwoSum; D. E. Knuth, The Art of Computer Programming 2, 4.2.2).
EDGEFER_DEVICE float sum_error(float a, float b, float sum) {
    const float of_b = sum - a;
    return (a - (sum - of_b)) + (b - of_b);
}

// row[0] x + row[1] y + row[2].
EDGEFER_DEVICE Twofold on_plane(const float* row, float x, float y) {
    const float along_x = rounded_product(row[0], x);
    const float along_y = rounded_product(row[1], y);
    const float part = along_x + along_y;
    const float sum = part + row[2];
    const float products = fmaf(row[0], x, -along_x) + fmaf(row[1], y, -along_y);
    return {sum, products + (sum_error(along_x, along_y, part) + sum_error(part, row[2], sum))};
}

// over / under, with `inverse` = 1 / under.high.
EDGEFER_DEVICE Twofold quotient(const Twofold& over, const Twofold& under, float inverse) {
    const float high = over.high * inverse;
    const float rest = fmaf(-high, under.high, over.high) + (over.low - high * under.low);
    return {high, rest * inverse};
}

EDGEFER_DEVICE Place place(const Twofold& centre, float distance) {
    const float rest = centre.low + distance;
    const float cell = floorf(centre.high + rest);
    const float share = (centre.high - cell) + rest;
    // Where rounding carried the sum over a whole number, the share is outside 0..1.
    const float step = floorf(share);
    return {cell + step, share - step};
}

// Whether a position lies on the area of the pixels `first` to `end` - 1. Not where it is NaN or infinite.
EDGEFER_DEVICE bool within(const Place& at, int first, int end) {
    return (at.cell - first) + at.share >= -0.5f && (at.cell - end) + at.share < -0.5f;
}

// The centre of a pixel of the input in the frame, from which its samples are reached.
struct Centre {
    Twofold x;
    Twofold y;
    float w;
};

EDGEFER_DEVICE Centre centre_of(const float* to_source, int x, int y) {
    const float column = static_cast<float>(x);
    const float row = static_cast<float>(y);
    const Twofold w = on_plane(to_source + 6, column, row);
    const float inverse = 1.0f / w.high;
    return {quotient(on_plane(to_source, column, row), w, inverse),
            quotient(on_plane(to_source + 3, column, row), w, inverse), w.high};
}

struct Distance {
    float x;
    float y;
};

// How far the sample at (right, down) of a pixel's centre, in pixels of the input, lies from that centre in the frame:
// (X + dX) / (w + dw) - X / w = (dX - (X / w) dw) / (w + dw).
EDGEFER_DEVICE Distance distance_of(const Centre& centre, const float* to_source, float right, float down) {
    const float dw = to_source[6] * right + to_source[7] * down;
    const float inverse = 1.0f / (centre.w + dw);
    const float dx = to_source[0] * right + to_source[1] * down;
    const float dy = to_source[3] * right + to_source[4] * down;
    return {(dx - centre.x.high * dw) * inverse, (dy - centre.y.high * dw) * inverse};
}

}  // namespace edgefer
