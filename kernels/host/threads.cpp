#include "threads.hpp"

#include "races.hpp"
#include "report.hpp"

unsigned char edgefer_host_reached[kEdgeferMutants];

namespace edgefer::host {

Index thread_index;
Index block_index;
Index block_size;
Index grid_size;
int chosen_mutant = 0;

Thread threads[kMaxThreads];
unsigned int thread_count = 0;
Ready ready;
Schedule schedule = kForward;
Random random_source(0);
bool in_thread = false;

namespace {

Fiber scheduler;
void (*kernel_function)(const void*) = nullptr;
const void* kernel_parameters = nullptr;

void begin_thread() {
    kernel_function(kernel_parameters);
    Thread& self = threads[thread_index.x];
    if (!self.copies.empty()) {
        record(kCopyNotWaited, self.site, "the thread ends with %zu copies started and not waited for",
               self.copies.size());
    }
    self.state = State::kDone;
    ready.remove(thread_index.x);
    leave();
}

// Back to the scheduler, until it chooses this thread again.
void yield() { switch_fiber(threads[thread_index.x].fiber, scheduler); }

void wait(State state) {
    threads[thread_index.x].state = state;
    ready.remove(thread_index.x);
    yield();
}

// At points where a GPU might as well go on with another warp.
void perhaps_yield() {
    if (schedule == kRandom && random_source.below(4) == 0) {
        yield();
    }
}

// Waits until all lanes of `mask` are here. The last one to come works out what each gets, by `resolve`.
template <class Resolve>
void meet(Site site, unsigned int mask, Resolve resolve) {
    const unsigned int first = thread_index.x & ~31u;
    Thread& self = threads[thread_index.x];
    self.site = site;
    self.mask = mask;
    if (((mask >> lane()) & 1u) == 0) {
        record(kLaneLeft, site, "lane %d is not in the mask 0x%08x that it gives", lane(), mask);
        leave();
    }
    self.state = State::kInWarp;
    bool complete = true;
    for (unsigned int other = 0; other < 32; ++other) {
        if (((mask >> other) & 1u) == 0) {
            continue;
        }
        if (first + other >= thread_count) {
            record(kLaneLeft, site, "lane %u is in the mask 0x%08x and not in the block", other, mask);
            leave();
        }
        const Thread& thread = threads[first + other];
        const bool same = thread.mask == mask && thread.site.file == site.file && thread.site.line == site.line;
        complete = complete && thread.state == State::kInWarp && same;
    }
    if (!complete) {
        wait(State::kInWarp);
        return;
    }
    resolve(first);
    for (unsigned int other = 0; other < 32; ++other) {
        if ((mask >> other) & 1u) {
            threads[first + other].state = State::kReady;
            ready.add(first + other);
        }
    }
    yield();
}

}  // namespace

void leave() {
    switch_fiber(threads[thread_index.x].fiber, scheduler);
    __builtin_unreachable();
}

void barrier(Site site) {
    threads[thread_index.x].site = site;
    wait(State::kAtBarrier);
}

void warp_barrier(Site site, unsigned int mask) {
    meet(site, mask, [](unsigned int first) {
        const unsigned int lanes = threads[thread_index.x].mask;
        for (unsigned int other = 0; other < 32; ++other) {
            // Of a part of the warp it orders only that part, which the race detector does not follow.
            if (lanes == 0xffffffffu) {
                ++threads[first + other].warp_epoch;
            }
        }
    });
}

std::uint64_t exchange(Site site, unsigned int mask, std::uint64_t bits, int source) {
    Thread& self = threads[thread_index.x];
    self.bits = bits;
    self.source = source;
    meet(site, mask, [mask](unsigned int first) {
        std::uint64_t given[32] = {};
        for (unsigned int other = 0; other < 32; ++other) {
            given[other] = (mask >> other) & 1u ? threads[first + other].bits : ~std::uint64_t{0};
        }
        for (unsigned int other = 0; other < 32; ++other) {
            if ((mask >> other) & 1u) {
                Thread& thread = threads[first + other];
                thread.bits = thread.source >= 0 && thread.source < 32 ? given[thread.source] : ~std::uint64_t{0};
            }
        }
    });
    return self.bits;
}

unsigned int vote(Site site, unsigned int mask, bool value) {
    Thread& self = threads[thread_index.x];
    self.bits = value ? 1 : 0;
    meet(site, mask, [mask](unsigned int first) {
        std::uint64_t set = 0;
        for (unsigned int other = 0; other < 32; ++other) {
            if (((mask >> other) & 1u) && threads[first + other].bits != 0) {
                set |= std::uint64_t{1} << other;
            }
        }
        for (unsigned int other = 0; other < 32; ++other) {
            if ((mask >> other) & 1u) {
                threads[first + other].bits = set;
            }
        }
    });
    return static_cast<unsigned int>(self.bits);
}

void copy_start(Site site, void* shared, const void* global) {
    auto* target = static_cast<unsigned char*>(shared);
    if (reinterpret_cast<std::uintptr_t>(shared) % 16 != 0 || reinterpret_cast<std::uintptr_t>(global) % 16 != 0) {
        record(kMisaligned, site, "copy_async_16 from %p to shared memory + %td: both must be multiples of 16", global,
               target - shared_begin);
        leave();
    }
    if (target < shared_begin || target + 16 > shared_end) {
        record(kOutOfBounds, site, "copy_async_16 to shared memory + %td, of %td bytes", target - shared_begin,
               shared_end - shared_begin);
        leave();
    }
    Thread& self = threads[thread_index.x];
    self.site = site;
    // An address that faults does so here, where the line is known.
    const volatile unsigned char* source = static_cast<const volatile unsigned char*>(global);
    probed = site;
    static_cast<void>(source[0]);
    static_cast<void>(source[15]);
    probed = {nullptr, 0};
    races::access(target, 16, true, __builtin_return_address(0));
    races::access(global, 16, false, __builtin_return_address(0));
    self.copies.push_back({shared, global});
    // The copy may land at any time until the wait. The random order also tries the earliest.
    if (schedule == kRandom && random_source.below(4) == 0) {
        __builtin_memcpy(shared, global, 16);
    }
    perhaps_yield();
}

void copy_wait(Site site) {
    Thread& self = threads[thread_index.x];
    self.site = site;
    for (const Copy& copy : self.copies) {
        races::access(copy.shared, 16, true, __builtin_return_address(0));
        __builtin_memcpy(copy.shared, copy.global, 16);
    }
    self.copies.clear();
    perhaps_yield();
}

void trap(Site site) {
    record(kTrap, site, "__trap()");
    leave();
}

bool run_block(void (*kernel)(const void*), const void* parameters, unsigned int count) {
    kernel_function = kernel;
    kernel_parameters = parameters;
    thread_count = count;
    ready.clear();
    for (unsigned int index = 0; index < count; ++index) {
        Thread& thread = threads[index];
        thread.state = State::kReady;
        thread.site = {nullptr, 0};
        thread.mask = 0;
        thread.warp_epoch = 0;
        thread.copies.clear();
        prepare(thread.fiber, index, &begin_thread);
        ready.add(index);
    }
    races::begin_block();
    while (true) {
        const int next = ready.next(schedule, random_source);
        if (next < 0) {
            unsigned int done = 0;
            for (unsigned int index = 0; index < count; ++index) {
                done += threads[index].state == State::kDone;
            }
            if (done == count) {
                return true;
            }
            if (!open_barrier()) {
                return false;
            }
            continue;
        }
        thread_index = {static_cast<unsigned int>(next), 0, 0};
        in_thread = true;
        switch_fiber(scheduler, threads[next].fiber);
        in_thread = false;
        if (report->kind != kNone) {
            return false;
        }
    }
}

}  // namespace edgefer::host
