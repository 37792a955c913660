// Launch plans as data, the same ones as edgefer/kernels/plan.py: no TensorRT and no CUDA in it.
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace edgefer {

// What went wrong, for the log. Nothing of it leaves the library: TensorRT is given a status.
class Failure : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

// What a plan depends on: the memory one block may ask for (opted in) and the number of multiprocessors.
struct Gpu {
    int major = 0;
    int minor = 0;
    int multiprocessors = 0;
    int64_t shared_bytes = 0;
};

// One launch. `block` is the number of threads, `shared_bytes` the dynamic shared memory.
struct Launch {
    std::string entry;
    std::array<int64_t, 3> grid{1, 1, 1};
    int64_t block = 0;
    int64_t shared_bytes = 0;
};

// The launches of one operation, in order on one stream, all with the same parameters. Addresses in them are null:
// they are put in when it runs. The workspace is aligned to 256 bytes and may hold anything.
template <class Params>
struct Plan {
    std::vector<Launch> launches;
    Params parameters{};
    int64_t workspace_bytes = 0;
};

}  // namespace edgefer
