// Which thread of a block runs next. All three orders are greedy: the warp that ran last goes on while any of its lanes
// can, so that warps drift as far apart as the barriers let them. `forward` and `backward` take warps and lanes from
// either end, so that of any two warps either comes first in one of them; `random` also leaves a warp that could go on.
#pragma once

#include <cstdint>

namespace edgefer::host {

enum Schedule : int { kForward, kBackward, kRandom };

constexpr unsigned int kMaxThreads = 1024;
constexpr unsigned int kMaxWarps = kMaxThreads / 32;

// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}

    // 0 <= result < bound
    unsigned int below(unsigned int bound) {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return static_cast<unsigned int>(((state_ * 0x2545F4914F6CDD1Du) >> 32) % bound);
    }

private:
    std::uint64_t state_;
};

// The lanes that can go on, and the choice among them.
class Ready {
public:
    void clear();
    // A barrier was passed: the order begins anew.
    void restart() { fresh_ = true; }
    void add(unsigned int thread);
    void remove(unsigned int thread);

    // The next thread, or -1 where none can go on.
    int next(Schedule schedule, Random& random);

private:
    std::uint32_t lanes_[kMaxWarps] = {};
    std::uint32_t warps_ = 0;
    unsigned int warp_ = 0;
    bool fresh_ = true;
};

}  // namespace edgefer::host
