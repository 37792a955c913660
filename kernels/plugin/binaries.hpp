// The kernels' binaries, which are embedded in the library; chosen as in edgefer/kernels/cubins.py.
#pragma once

#include <vector>

#include "plan.hpp"

namespace edgefer {

// `image` is an ELF file for one compute capability, or PTX (ending in a zero) that a driver compiles for any GPU from
// this compute capability on. `exact`: no GPU but this one takes the ELF file.
struct Binary {
    const char* name;
    int major;
    int minor;
    bool ptx;
    bool exact;
    const void* image;
};

// All that are embedded; in a source file that the build generates.
const std::vector<Binary>& binaries();

// In this order: the binary for exactly this GPU; the latest of the same major and an earlier minor version, unless it
// is exact; the latest PTX for this version or an earlier one.
//
// Throws Failure: there is none; the message lists what there is.
const Binary& binary_for(const Gpu& gpu, const std::vector<Binary>& available);

}  // namespace edgefer
