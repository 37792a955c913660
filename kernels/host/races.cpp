#include "races.hpp"

#include <cstdint>
#include <vector>

#include <dlfcn.h>

#include "report.hpp"
#include "threads.hpp"

namespace edgefer::host::races {
namespace {

// The last access of a kind. `epoch` counts barriers and blocks from the begin of the process; 0 where there was none.
struct Access {
    std::uint32_t epoch;
    std::uint32_t warp_epoch;
    std::uint32_t thread;
    std::uint32_t pc;  // from the begin of the library
};

// Of one byte: the last write, the last read, and the last read of another warp than that, or else of another thread.
struct Shadow {
    Access write, read, other_read;
};

struct Watched {
    const unsigned char* begin;
    std::size_t bytes;
    bool shared;
    std::vector<Shadow> shadow;
};

std::vector<Watched> watched;
std::uint32_t epoch = 1;
std::uint32_t launch_epoch = 1;
std::uint32_t block_epoch = 1;
bool instrumented = false;

const char* library_begin = nullptr;

// Of the call that returns to `pc`.
std::uint32_t offset_of(const void* pc) {
    return static_cast<std::uint32_t>(static_cast<const char*>(pc) - library_begin - 1);
}

// Whether `earlier` is known to be over before what this thread does now.
bool ordered(const Access& earlier, const Thread& self, bool shared) {
    if (earlier.epoch < launch_epoch) {
        return true;
    }
    if (earlier.epoch < block_epoch) {
        return shared;  // blocks have shared memory of their own, and no order among them
    }
    if (earlier.epoch < epoch || earlier.thread == thread_index.x) {
        return true;
    }
    return earlier.thread / 32 == thread_index.x / 32 && earlier.warp_epoch < self.warp_epoch;
}

void found(const Access& earlier, const char* before, const char* now, const Watched& where, std::size_t offset,
           const void* pc) {
    if (earlier.epoch < block_epoch) {
        record(kRace, {nullptr, 0}, "%s byte %zu of a buffer that another block of this launch %s", now, offset,
               before);
    } else {
        record(kRace, {nullptr, 0}, "%s byte %zu of %s that thread %u %s, and no barrier is between", now, offset,
               where.shared ? "shared memory" : "a buffer", earlier.thread, before);
    }
    report->pc = offset_of(pc);
    report->other_pc = earlier.pc;
    report->address = reinterpret_cast<std::uint64_t>(where.begin + offset);
    leave();
}

void check(Watched& where, std::size_t offset, bool write, const void* pc) {
    const Thread& self = threads[thread_index.x];
    Shadow& shadow = where.shadow[offset];
    if (!ordered(shadow.write, self, where.shared)) {
        found(shadow.write, "writes", write ? "writes" : "reads", where, offset, pc);
    }
    const Access now{epoch, self.warp_epoch, thread_index.x, offset_of(pc)};
    if (!write) {
        if (shadow.read.epoch == epoch && shadow.read.thread != thread_index.x) {
            const bool far = shadow.read.thread / 32 != thread_index.x / 32;
            if (far || shadow.other_read.epoch != epoch) {
                shadow.other_read = shadow.read;
            }
        }
        shadow.read = now;
        return;
    }
    for (const Access& read : {shadow.read, shadow.other_read}) {
        if (!ordered(read, self, where.shared)) {
            found(read, "reads", "writes", where, offset, pc);
        }
    }
    shadow.write = now;
}

}  // namespace

void begin_launch(const edgefer_host_launch& launch) {
    launch_epoch = block_epoch = ++epoch;
    watched.clear();
    if (!instrumented) {
        return;
    }
    Dl_info info;
    dladdr(reinterpret_cast<void*>(&edgefer_host_run), &info);
    library_begin = static_cast<const char*>(info.dli_fbase);
    const std::size_t shared_bytes = static_cast<std::size_t>(shared_end - shared_begin);
    watched.push_back({shared_begin, shared_bytes, true, std::vector<Shadow>(shared_bytes)});
    for (std::uint32_t index = 0; index < launch.buffer_count; ++index) {
        const edgefer_host_buffer& buffer = launch.buffers[index];
        watched.push_back({static_cast<const unsigned char*>(buffer.begin), buffer.bytes, false,
                           std::vector<Shadow>(buffer.bytes)});
    }
}

void begin_block() { block_epoch = ++epoch; }

void pass_barrier() { ++epoch; }

void access(const void* address, std::size_t bytes, bool write, const void* pc) {
    if (!in_thread) {
        return;
    }
    const auto* begin = static_cast<const unsigned char*>(address);
    for (Watched& where : watched) {
        if (begin >= where.begin && begin + bytes <= where.begin + where.bytes) {
            for (std::size_t byte = 0; byte < bytes; ++byte) {
                check(where, static_cast<std::size_t>(begin - where.begin) + byte, write, pc);
            }
            return;
        }
    }
}

void instrument() { instrumented = true; }

}  // namespace edgefer::host::races

// What g++ -fsanitize=thread calls (GCC, sanitizer.def): before every access, and around every function.
#define EDGEFER_HOOK extern "C" __attribute__((visibility("hidden")))
#define EDGEFER_ACCESSES(bytes)                                                                    \
    EDGEFER_HOOK void __tsan_read##bytes(void* address) {                                          \
        edgefer::host::races::access(address, bytes, false, __builtin_return_address(0));          \
    }                                                                                              \
    EDGEFER_HOOK void __tsan_write##bytes(void* address) {                                         \
        edgefer::host::races::access(address, bytes, true, __builtin_return_address(0));           \
    }                                                                                              \
    EDGEFER_HOOK void __tsan_unaligned_read##bytes(void* address) {                                \
        edgefer::host::races::access(address, bytes, false, __builtin_return_address(0));          \
    }                                                                                              \
    EDGEFER_HOOK void __tsan_unaligned_write##bytes(void* address) {                               \
        edgefer::host::races::access(address, bytes, true, __builtin_return_address(0));           \
    }

EDGEFER_ACCESSES(1)
EDGEFER_ACCESSES(2)
EDGEFER_ACCESSES(4)
EDGEFER_ACCESSES(8)
EDGEFER_ACCESSES(16)

EDGEFER_HOOK void __tsan_read_range(void* address, unsigned long bytes) {
    edgefer::host::races::access(address, bytes, false, __builtin_return_address(0));
}
EDGEFER_HOOK void __tsan_write_range(void* address, unsigned long bytes) {
    edgefer::host::races::access(address, bytes, true, __builtin_return_address(0));
}
EDGEFER_HOOK void __tsan_func_entry(void*) {}
EDGEFER_HOOK void __tsan_func_exit() {}
EDGEFER_HOOK void __tsan_init() { edgefer::host::races::instrument(); }
