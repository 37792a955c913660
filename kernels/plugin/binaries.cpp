#include "binaries.hpp"

#include <string>
#include <tuple>
#include <utility>

namespace edgefer {
namespace {

bool fits(const Binary& binary, const Gpu& gpu) {
    const auto made_for = std::make_pair(binary.major, binary.minor);
    const auto wanted = std::make_pair(gpu.major, gpu.minor);
    if (binary.ptx || made_for == wanted) {
        return made_for <= wanted;
    }
    return !binary.exact && binary.major == gpu.major && binary.minor < gpu.minor;
}

auto rank(const Binary& binary) { return std::make_tuple(!binary.ptx, binary.major, binary.minor); }

}  // namespace

const Binary& binary_for(const Gpu& gpu, const std::vector<Binary>& available) {
    const Binary* best = nullptr;
    std::string names;
    for (const Binary& binary : available) {
        names += (names.empty() ? "" : ", ") + std::string(binary.name);
        if (fits(binary, gpu) && (best == nullptr || rank(*best) < rank(binary))) {
            best = &binary;
        }
    }
    if (best == nullptr) {
        throw Failure("no kernels for a GPU of compute capability " + std::to_string(gpu.major) + "." +
                      std::to_string(gpu.minor) + "; there are: " + (names.empty() ? "none" : names));
    }
    return *best;
}

}  // namespace edgefer
