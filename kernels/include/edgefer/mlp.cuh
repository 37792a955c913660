// A multilayer perceptron of two layers that turns pooled channels into their gates, by the threads of one block.
#pragma once

#include "share.cuh"

namespace edgefer {

// `b1` and `b2` may be null: zero.
template <class W>
struct Mlp {
    const W* w1;
    const W* b1;
    const W* w2;
    const W* b2;
    int channels;
    int hidden;
};

template <class W>
EDGEFER_DEVICE float bias_of(const W* bias, int row) {
    return bias == nullptr ? 0.0f : to_float(bias[row]);
}

// Starts to bring `count` elements into the cache; null: nothing.
template <class W>
EDGEFER_DEVICE void prefetch(const W* first, int count) {
    if (first != nullptr) {
        constexpr int kStep = kCacheLine / static_cast<int>(sizeof(W));
#pragma unroll 1
        for (int index = threadIdx.x * kStep; index < count; index += blockDim.x * kStep) {
            prefetch_line(first + index);
        }
    }
}

// The same with all weights: a block needs them later, one layer after the other.
template <class W>
EDGEFER_DEVICE void prefetch(const Mlp<W>& mlp) {
    const int weights = mlp.channels * mlp.hidden;
    prefetch(mlp.w1, weights);
    prefetch(mlp.w2, weights);
    prefetch(mlp.b1, mlp.hidden);
    prefetch(mlp.b2, mlp.channels);
}

// Calls use(row, product, bias) with the products of each row of `weight` (rows, columns) and `kVectors` vectors in
// shared memory, `pitch` apart. The lanes of a warp share a row, or several where rows are short, kChunk columns at a
// time.
template <int kChunk, int kVectors, class W, class Use>
EDGEFER_DEVICE void multiply_rows(const W* weight, const W* bias, int rows, int columns, const float* vectors,
                                  int pitch, Use use) {
    constexpr int kQuad = kChunk < 4 ? kChunk : 4;
    const int chunks = columns / kChunk;
    const int shift = team_shift<Hwc>(chunks);
    const Share share = share_of_warp<Hwc>(shift);
#pragma unroll 1
    for (int base = threadIdx.x / 32 * share.pixels; base < rows; base += blockDim.x / 32 * share.pixels) {
        const int row = base + share.pixel;
        float product[kVectors] = {};
        float added = 0.0f;
        if (row < rows) {
            added = bias_of(bias, row);
#pragma unroll 1
            for (int chunk = share.group; chunk < chunks; chunk += share.groups) {
                const W* const place = weight + (row * columns + chunk * kChunk);
                Pack<W> pack;
                if constexpr (kChunk > 1) {
                    pack = load_pack(place);
                } else {
                    pack.element[0] = *place;
                }
#pragma unroll
                for (int quad = 0; quad < kChunk; quad += kQuad) {
#pragma unroll
                    for (int vector = 0; vector < kVectors; ++vector) {
                        float value[kQuad];
                        load_floats(vectors + vector * pitch + chunk * kChunk + quad, value);
#pragma unroll
                        for (int each = 0; each < kQuad; ++each) {
                            product[vector] += to_float(pack.element[quad + each]) * value[each];
                        }
                    }
                }
            }
        }
#pragma unroll 1
        for (int mask = share.groups / 2; mask > 0; mask /= 2) {
#pragma unroll
            for (int vector = 0; vector < kVectors; ++vector) {
                product[vector] += other_lane(product[vector], mask);
            }
        }
        if (row < rows && share.group == 0) {
            use(row, product, added);
        }
    }
}

// The same in 16 bytes of weights at a time where rows begin at multiples of 16 bytes.
template <int kVectors, class W, class Use>
EDGEFER_DEVICE void multiply(const W* weight, const W* bias, int rows, int columns, const float* vectors, int pitch,
                             Use use) {
    const bool aligned = columns % kLanes<W> == 0 && reinterpret_cast<unsigned long long>(weight) % 16 == 0;
    if (aligned) {
        multiply_rows<kLanes<W>, kVectors>(weight, bias, rows, columns, vectors, pitch, use);
    } else {
        multiply_rows<1, kVectors>(weight, bias, rows, columns, vectors, pitch, use);
    }
}

// gate[factor_place(channel)] = activation(W2 sum relu(W1 pooled + b1) + kVectors b2), the sum over `kVectors` pooled
// vectors that lie `pitch` apart, with kCount channels in a group. All of it is in shared memory; `hidden` has room for
// the hidden layer. The gates are not yet visible to other threads at the end.
template <int kVectors, int kCount, class W, class Activation>
EDGEFER_DEVICE void gates_of(const Mlp<W>& mlp, const float* pooled, int pitch, float* hidden, float* gate,
                             Activation activation) {
    __syncthreads();
    multiply<kVectors>(mlp.w1, mlp.b1, mlp.hidden, mlp.channels, pooled, pitch,
                       [hidden](int row, const float(&product)[kVectors], float bias) {
                           float sum = 0.0f;
#pragma unroll
                           for (int vector = 0; vector < kVectors; ++vector) {
                               sum += relu(product[vector] + bias);
                           }
                           hidden[row] = sum;
                       });
    __syncthreads();
    multiply<1>(mlp.w2, mlp.b2, mlp.channels, mlp.hidden, hidden, 0,
                [&mlp, gate, activation](int row, const float(&product)[1], float bias) {
                    gate[factor_place<kCount>(row, mlp.channels)] = activation(product[0] + kVectors * bias);
                });
}

}  // namespace edgefer
