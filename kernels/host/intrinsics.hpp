// CUDA's built-in functions of one thread that device code may use, in plain C++. What is not here does not compile on
// the host: add it when a kernel needs it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

// The host's libm rounds better than the GPU's approximation. Macros, because libm has functions of these names.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define rsqrtf(x) (1.0f / sqrtf(x))

inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }

namespace edgefer::host {

// CUDA's conversions saturate, and take NaN for 0, where C++ leaves the result open.
inline int to_int(float x) {
    if (x != x) {
        return 0;
    }
    return x >= 2147483648.0f ? INT32_MAX : x <= -2147483648.0f ? INT32_MIN : static_cast<int>(x);
}

}  // namespace edgefer::host

inline int __float2int_rn(float x) { return edgefer::host::to_int(std::nearbyint(x)); }
inline int __float2int_rd(float x) { return edgefer::host::to_int(std::floor(x)); }
inline int __float2int_ru(float x) { return edgefer::host::to_int(std::ceil(x)); }
inline int __float2int_rz(float x) { return edgefer::host::to_int(x); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned int x) { return static_cast<float>(x); }

inline int __float_as_int(float x) {
    int bits;
    std::memcpy(&bits, &x, 4);
    return bits;
}
inline unsigned int __float_as_uint(float x) { return static_cast<unsigned int>(__float_as_int(x)); }
inline float __int_as_float(int bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}
inline float __uint_as_float(unsigned int bits) { return __int_as_float(static_cast<int>(bits)); }

inline int __popc(unsigned int x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned int>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned int __umulhi(unsigned int x, unsigned int y) {
    return static_cast<unsigned int>((static_cast<std::uint64_t>(x) * y) >> 32);
}
inline unsigned int __byte_perm(unsigned int x, unsigned int y, unsigned int selector) {
    const std::uint64_t both = (static_cast<std::uint64_t>(y) << 32) | x;
    unsigned int result = 0;
    for (int byte = 0; byte < 4; ++byte) {
        const unsigned int chosen = (selector >> (4 * byte)) & 15u;
        unsigned int value = static_cast<unsigned int>(both >> (8 * (chosen & 7u))) & 255u;
        if (chosen & 8u) {
            value = value & 128u ? 255u : 0u;
        }
        result |= value << (8 * byte);
    }
    return result;
}

// Loads and stores with a hint for the caches.
template <class T>
inline T __ldg(const T* address) {
    return *address;
}
template <class T>
inline T __ldcg(const T* address) {
    return *address;
}
template <class T>
inline T __ldcs(const T* address) {
    return *address;
}
template <class T>
inline void __stcg(T* address, T value) {
    *address = value;
}
template <class T>
inline void __stcs(T* address, T value) {
    *address = value;
}

inline int min(int x, int y) { return y < x ? y : x; }
inline int max(int x, int y) { return x < y ? y : x; }
inline unsigned int min(unsigned int x, unsigned int y) { return y < x ? y : x; }
inline unsigned int max(unsigned int x, unsigned int y) { return x < y ? y : x; }
inline long long min(long long x, long long y) { return y < x ? y : x; }
inline long long max(long long x, long long y) { return x < y ? y : x; }
inline float min(float x, float y) { return std::fmin(x, y); }
inline float max(float x, float y) { return std::fmax(x, y); }
