#include "ready.hpp"

namespace edgefer::host {
namespace {

unsigned int lowest(std::uint32_t set) { return static_cast<unsigned int>(__builtin_ctz(set)); }
unsigned int highest(std::uint32_t set) { return 31u - static_cast<unsigned int>(__builtin_clz(set)); }

unsigned int any(std::uint32_t set, Random& random) {
    const auto count = static_cast<unsigned int>(__builtin_popcount(set));
    for (unsigned int skipped = random.below(count); skipped > 0; --skipped) {
        set &= set - 1;
    }
    return lowest(set);
}

}  // namespace

void Ready::clear() {
    for (std::uint32_t& lanes : lanes_) {
        lanes = 0;
    }
    warps_ = 0;
    fresh_ = true;
}

void Ready::add(unsigned int thread) {
    lanes_[thread / 32] |= 1u << (thread % 32);
    warps_ |= 1u << (thread / 32);
}

void Ready::remove(unsigned int thread) {
    lanes_[thread / 32] &= ~(1u << (thread % 32));
    if (lanes_[thread / 32] == 0) {
        warps_ &= ~(1u << (thread / 32));
    }
}

int Ready::next(Schedule schedule, Random& random) {
    if (warps_ == 0) {
        return -1;
    }
    const bool stay = !fresh_ && lanes_[warp_] != 0 && (schedule != kRandom || random.below(4) != 0);
    fresh_ = false;
    unsigned int lane = 0;
    switch (schedule) {
        case kForward:
            warp_ = stay ? warp_ : lowest(warps_);
            lane = lowest(lanes_[warp_]);
            break;
        case kBackward:
            warp_ = stay ? warp_ : highest(warps_);
            lane = highest(lanes_[warp_]);
            break;
        case kRandom:
            warp_ = stay ? warp_ : any(warps_, random);
            lane = any(lanes_[warp_], random);
            break;
    }
    return static_cast<int>(32 * warp_ + lane);
}

}  // namespace edgefer::host
