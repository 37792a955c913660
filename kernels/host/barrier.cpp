#include "races.hpp"
#include "report.hpp"
#include "threads.hpp"

namespace edgefer::host {
namespace {

// Some thread waits for lanes of its warp that do not come: says which lane, and where it is instead.
void report_lane(const Thread& waiting, unsigned int index) {
    const unsigned int first = index & ~31u;
    for (unsigned int other = 0; other < 32 && first + other < thread_count; ++other) {
        const Thread& thread = threads[first + other];
        if (((waiting.mask >> other) & 1u) == 0) {
            continue;
        }
        if (thread.state == State::kDone) {
            record(kLaneLeft, waiting.site, "thread %u waits here for lane %u, which has returned", index, other);
        } else if (thread.state == State::kAtBarrier) {
            record(kLaneLeft, waiting.site, "thread %u waits here for lane %u, which waits at the barrier of line %d",
                   index, other, thread.site.line);
        } else if (thread.site.line != waiting.site.line || thread.site.file != waiting.site.file) {
            record(kLaneLeft, waiting.site, "thread %u waits here for lane %u, which is at line %d", index, other,
                   thread.site.line);
        } else if (thread.mask != waiting.mask) {
            record(kLaneLeft, waiting.site, "thread %u is here with the mask 0x%08x, and lane %u with 0x%08x", index,
                   waiting.mask, other, thread.mask);
        }
    }
}

}  // namespace

bool open_barrier() {
    const Thread* first = nullptr;
    unsigned int arrived = 0;
    for (unsigned int index = 0; index < thread_count; ++index) {
        const Thread& thread = threads[index];
        if (thread.state == State::kInWarp) {
            report_lane(thread, index);
            if (report->kind != kNone) {
                report->thread = static_cast<int>(index);
                return false;
            }
        }
        if (thread.state == State::kAtBarrier) {
            ++arrived;
            first = first == nullptr ? &thread : first;
        }
    }
    if (first == nullptr) {
        record(kHost, {nullptr, 0}, "no thread can go on, and none waits at a barrier");
        return false;
    }
    for (unsigned int index = 0; index < thread_count; ++index) {
        const Thread& thread = threads[index];
        if (thread.state == State::kDone) {
            record(kDivergentBarrier, first->site, "%u of %u threads wait here; thread %u has returned", arrived,
                   thread_count, index);
        } else if (thread.site.line != first->site.line || thread.site.file != first->site.file) {
            record(kDifferentBarriers, first->site, "%u of %u threads wait at a barrier; thread %u at that of line %d",
                   arrived, thread_count, index, thread.site.line);
        }
        if (report->kind != kNone) {
            report->thread = static_cast<int>(index);
            return false;
        }
    }
    for (unsigned int index = 0; index < thread_count; ++index) {
        threads[index].state = State::kReady;
        ready.add(index);
    }
    ready.restart();
    races::pass_barrier();
    return true;
}

}  // namespace edgefer::host
