#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "races.hpp"
#include "report.hpp"
#include "shared.hpp"
#include "signals.hpp"
#include "threads.hpp"

namespace edgefer::host {
namespace {

// The order of the blocks, as that of the threads: a GPU promises none.
std::vector<std::uint64_t> order_of(std::uint64_t blocks) {
    std::vector<std::uint64_t> order(blocks);
    std::iota(order.begin(), order.end(), std::uint64_t{0});
    if (schedule == kBackward) {
        std::reverse(order.begin(), order.end());
    }
    for (std::uint64_t left = blocks; schedule == kRandom && left > 1; --left) {
        std::swap(order[left - 1], order[random_source.below(static_cast<unsigned int>(left))]);
    }
    return order;
}

void run(const edgefer_host_launch& launch) {
    const Site nowhere{nullptr, 0};
    if (stacks(launch.block) == nullptr || !map_shared(launch.shared_bytes)) {
        record(kHost, nowhere, "no memory for %u threads with %llu bytes shared", launch.block,
               static_cast<unsigned long long>(launch.shared_bytes));
        return;
    }
    races::begin_launch(launch);
    const Signals signals(launch.limit_s);
    for (const std::uint64_t block : order_of(std::uint64_t{grid_size.x} * grid_size.y * grid_size.z)) {
        block_index.x = static_cast<unsigned int>(block % grid_size.x);
        block_index.y = static_cast<unsigned int>(block / grid_size.x % grid_size.y);
        block_index.z = static_cast<unsigned int>(block / grid_size.x / grid_size.y);
        poison_shared();
        if (!run_block(launch.kernel, launch.parameters, launch.block)) {
            return;
        }
        if (shared_overrun()) {
            record(kOutOfBounds, nowhere, "bytes next to the %llu of shared memory were written",
                   static_cast<unsigned long long>(launch.shared_bytes));
            return;
        }
        if (report->kind != kNone) {
            return;
        }
    }
}

}  // namespace
}  // namespace edgefer::host

void edgefer_host_run(const edgefer_host_launch* launch, edgefer_host_report* result) {
    using namespace edgefer::host;
    std::memset(static_cast<void*>(result), 0, sizeof *result);
    report = result;
    probed = {nullptr, 0};
    schedule = static_cast<Schedule>(launch->schedule);
    random_source = Random(launch->seed);
    chosen_mutant = launch->mutant;
    grid_size = {launch->grid[0], launch->grid[1], launch->grid[2]};
    block_size = {launch->block, 1, 1};
    run(*launch);
}
