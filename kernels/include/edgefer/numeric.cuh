// Element types: 16 bytes at a time in and out, everything between in float.
#pragma once

#include "platform.cuh"

namespace edgefer {

using int8 = signed char;

// How many elements of T are in 16 bytes.
template <class T>
constexpr int kLanes = 16 / static_cast<int>(sizeof(T));

// `kLanes<T>` elements as they lie in memory, and their values.
template <class T>
struct alignas(16) Pack {
    T element[kLanes<T>];
};

EDGEFER_DEVICE float to_float(float x) { return x; }
EDGEFER_DEVICE float to_float(__half x) { return __half2float(x); }
EDGEFER_DEVICE float to_float(int8 x) { return static_cast<float>(x); }

// Rounds to the nearest, ties to even; INT8 saturates at -128 and 127, as QuantizeLinear does. The scale is applied
// before, by the caller.
template <class T>
EDGEFER_DEVICE T from_float(float x);

template <>
EDGEFER_DEVICE float from_float<float>(float x) {
    return x;
}

template <>
EDGEFER_DEVICE __half from_float<__half>(float x) {
    return __float2half_rn(x);
}

template <>
EDGEFER_DEVICE int8 from_float<int8>(float x) {
    return static_cast<int8>(fminf(fmaxf(rintf(x), -128.0f), 127.0f));
}

template <class T>
EDGEFER_DEVICE Pack<T> load_pack(const T* address) {
    Pack<T> pack;
    *reinterpret_cast<uint4*>(&pack) = *reinterpret_cast<const uint4*>(address);
    return pack;
}

template <class T>
EDGEFER_DEVICE void store_pack(T* address, const Pack<T>& pack) {
    *reinterpret_cast<uint4*>(address) = *reinterpret_cast<const uint4*>(&pack);
}

// The division is off by two units in the last place at most, and takes no branch, unlike the exact one.
EDGEFER_DEVICE float sigmoid(float x) { return __fdividef(1.0f, 1.0f + expf(-x)); }

// A NaN stays one, here and below: a broken input must not come out as a plausible zero.
EDGEFER_DEVICE float relu(float x) { return x < 0.0f ? 0.0f : x; }

// Of what is scaled and shifted already: as far as it lies within 0..1.
EDGEFER_DEVICE float hard_sigmoid(float x) { return x < 0.0f ? 0.0f : (x > 1.0f ? 1.0f : x); }

}  // namespace edgefer
