// A CUDA driver without a GPU for the real pycuda and the real cuda.bindings: memory is the host's, every thread has its
// stack of contexts, and any function fails with any code when told to. What is done wrong is said on standard error:
// memory left when the context goes, a thread that ends with a context current.
//
// STUB_FAIL="cuMemAlloc=2" in the environment, or stub_fail("cuMemAlloc", 2), has a function fail until it is 0 again;
// stub_interrupt("cuMemAlloc") has Ctrl-C pressed in the middle of its next call.
// STUB_LOG names a file that every call is written to, as "process thread function".

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

constexpr int kSuccess = 0, kInvalidValue = 1, kNotInitialised = 3, kInvalidDevice = 101, kInvalidContext = 201;
constexpr std::size_t kTotal = std::size_t{1} << 30;

std::mutex mutex;
std::map<std::string, int> faults;
std::string interrupted;
std::map<std::uintptr_t, std::string> open_things;
std::uintptr_t next_handle = 0x1000;
int retained = 0;
pid_t owner = 0;

struct Stack {
    std::vector<std::uintptr_t> contexts;
    ~Stack() {
        if (!contexts.empty() && getpid() == owner) {
            std::fprintf(stderr, "a thread ended with %zu contexts current\n", contexts.size());
        }
    }
};
thread_local Stack stack;

struct Process {
    int log = -1;
    Process() {
        const char* path = std::getenv("STUB_LOG");
        log = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
        const char* wanted = std::getenv("STUB_FAIL");
        const char* equals = wanted ? std::strchr(wanted, '=') : nullptr;
        if (equals) {
            faults[std::string(wanted, equals)] = std::atoi(equals + 1);
        }
    }
    ~Process() {
        if (getpid() != owner) {
            return;
        }
        for (const auto& [handle, kind] : open_things) {
            std::fprintf(stderr, "left open at the end: %s\n", kind.c_str());
        }
        if (retained != 0) {
            std::fprintf(stderr, "left open at the end: %d references to the context\n", retained);
        }
    }
};
Process process;

// What a function answers before it does anything.
int refused(const char* name, bool needs_context) {
    const std::lock_guard<std::mutex> guard(mutex);
    if (process.log >= 0) {
        dprintf(process.log, "%d %d %s\n", getpid(), gettid(), name);
    }
    if (interrupted == name) {
        interrupted.clear();
        std::raise(SIGINT);
    }
    const auto fault = faults.find(name);
    if (fault != faults.end() && fault->second != kSuccess) {
        return fault->second;
    }
    if (owner != getpid() && (owner != 0 || std::strcmp(name, "cuInit") != 0)) {
        return kNotInitialised;
    }
    return needs_context && stack.contexts.empty() ? kInvalidContext : kSuccess;
}

std::uintptr_t opened(std::uintptr_t handle, const char* kind) {
    const std::lock_guard<std::mutex> guard(mutex);
    handle = handle != 0 ? handle : next_handle += 16;
    open_things[handle] = kind;
    return handle;
}

int closed(std::uintptr_t handle, const char* kind) {
    const std::lock_guard<std::mutex> guard(mutex);
    const auto found = open_things.find(handle);
    if (found == open_things.end() || found->second != kind) {
        return kInvalidValue;
    }
    open_things.erase(found);
    return kSuccess;
}

}  // namespace

#define NEEDS(name, context)                         \
    if (const int code = refused(#name, context)) { \
        return code;                                 \
    }

extern "C" {

void stub_fail(const char* name, int code) {
    const std::lock_guard<std::mutex> guard(mutex);
    faults[name] = code;
}
void stub_interrupt(const char* name) { interrupted = name; }
int stub_open() { return static_cast<int>(open_things.size()) + retained; }
int stub_contexts_here() { return static_cast<int>(stack.contexts.size()); }

int cuInit(unsigned int) {
    NEEDS(cuInit, false)
    owner = getpid();
    return kSuccess;
}
int cuDriverGetVersion(int* version) { return *version = 13000, kSuccess; }

// A driver has words of its own for each error; these are nobody else's.
int cuGetErrorString(int error, const char** text) {
    static std::map<int, std::string> words;
    const std::lock_guard<std::mutex> guard(mutex);
    if (error < 0 || error > 999) {
        return *text = nullptr, kInvalidValue;
    }
    *text = words.emplace(error, "the words for number " + std::to_string(error)).first->second.c_str();
    return kSuccess;
}

int cuDeviceGet(int* device, int ordinal) {
    NEEDS(cuDeviceGet, false)
    return *device = ordinal, ordinal == 0 ? kSuccess : kInvalidDevice;
}
int cuDeviceGetCount(int* count) { return *count = 1, kSuccess; }
int cuDeviceGetName(char* name, int length, int) {
    NEEDS(cuDeviceGetName, false)
    return std::snprintf(name, static_cast<std::size_t>(length), "Stub"), kSuccess;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
    NEEDS(cuDeviceGetAttribute, false)
    const std::map<int, int> known = {{16, 16}, {18, 1}, {75, 8}, {76, 7}, {97, 166912}};
    const auto found = known.find(attribute);
    return found == known.end() ? kInvalidValue : (*value = found->second, kSuccess);
}

int cuDevicePrimaryCtxRetain(std::uintptr_t* context, int) {
    NEEDS(cuDevicePrimaryCtxRetain, false)
    ++retained;
    return *context = 0xC0DE, kSuccess;
}
int cuDevicePrimaryCtxRelease_v2(int) {
    NEEDS(cuDevicePrimaryCtxRelease, false)
    if (retained == 0) {
        return kInvalidContext;
    }
    if (--retained == 0) {
        for (const auto& [handle, kind] : open_things) {
            std::fprintf(stderr, "the context went before its %s\n", kind.c_str());
        }
    }
    return kSuccess;
}
int cuCtxPushCurrent_v2(std::uintptr_t context) {
    NEEDS(cuCtxPushCurrent, false)
    if (retained == 0) {
        return kInvalidContext;
    }
    stack.contexts.push_back(context);
    return kSuccess;
}
int cuCtxPopCurrent_v2(std::uintptr_t* context) {
    NEEDS(cuCtxPopCurrent, true)
    *context = stack.contexts.back();
    stack.contexts.pop_back();
    return kSuccess;
}
int cuCtxGetCurrent(std::uintptr_t* context) {
    NEEDS(cuCtxGetCurrent, false)
    return *context = stack.contexts.empty() ? 0 : stack.contexts.back(), kSuccess;
}
int cuCtxGetDevice(int* device) {
    NEEDS(cuCtxGetDevice, true)
    return *device = 0, kSuccess;
}
int cuCtxSynchronize() {
    NEEDS(cuCtxSynchronize, true)
    return kSuccess;
}
int cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    NEEDS(cuCtxGetStreamPriorityRange, true)
    return *least = 0, *greatest = -5, kSuccess;
}

int cuMemGetInfo_v2(std::size_t* free_bytes, std::size_t* total) {
    NEEDS(cuMemGetInfo, true)
    return *free_bytes = kTotal / 2, *total = kTotal, kSuccess;
}
int cuMemAlloc_v2(std::uintptr_t* address, std::size_t size) {
    NEEDS(cuMemAlloc, true)
    if (size == 0) {
        return kInvalidValue;
    }
    *address = opened(reinterpret_cast<std::uintptr_t>(std::malloc(size)), "memory");
    return kSuccess;
}
int cuMemFree_v2(std::uintptr_t address) {
    NEEDS(cuMemFree, true)
    const int code = closed(address, "memory");
    if (code == kSuccess) {
        std::free(reinterpret_cast<void*>(address));
    }
    return code;
}
int cuMemHostAlloc(void** address, std::size_t size, unsigned int) {
    NEEDS(cuMemHostAlloc, true)
    if (size == 0) {
        return kInvalidValue;
    }
    *address = std::malloc(size);
    opened(reinterpret_cast<std::uintptr_t>(*address), "host memory");
    return kSuccess;
}
int cuMemFreeHost(void* address) {
    NEEDS(cuMemFreeHost, true)
    const int code = closed(reinterpret_cast<std::uintptr_t>(address), "host memory");
    if (code == kSuccess) {
        std::free(address);
    }
    return code;
}
int cuMemHostGetDevicePointer_v2(std::uintptr_t* address, void* host, unsigned int) {
    NEEDS(cuMemHostGetDevicePointer, true)
    return *address = reinterpret_cast<std::uintptr_t>(host), kSuccess;
}

int cuMemcpyHtoDAsync_v2(std::uintptr_t to, const void* from, std::size_t size, void*) {
    NEEDS(cuMemcpyHtoDAsync, true)
    return std::memcpy(reinterpret_cast<void*>(to), from, size), kSuccess;
}
int cuMemcpyDtoHAsync_v2(void* to, std::uintptr_t from, std::size_t size, void*) {
    NEEDS(cuMemcpyDtoHAsync, true)
    return std::memcpy(to, reinterpret_cast<const void*>(from), size), kSuccess;
}
int cuMemcpyDtoDAsync_v2(std::uintptr_t to, std::uintptr_t from, std::size_t size, void*) {
    NEEDS(cuMemcpyDtoDAsync, true)
    return std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), size), kSuccess;
}
int cuMemsetD8Async(std::uintptr_t address, unsigned char value, std::size_t size, void*) {
    NEEDS(cuMemsetD8Async, true)
    return std::memset(reinterpret_cast<void*>(address), value, size), kSuccess;
}

int cuStreamCreate(std::uintptr_t* stream, unsigned int) {
    NEEDS(cuStreamCreate, true)
    return *stream = opened(0, "stream"), kSuccess;
}
int cuStreamCreateWithPriority(std::uintptr_t* stream, unsigned int, int priority) {
    NEEDS(cuStreamCreateWithPriority, true)
    if (priority > 0 || priority < -5) {
        return kInvalidValue;
    }
    return *stream = opened(0, "stream"), kSuccess;
}
int cuStreamDestroy_v2(std::uintptr_t stream) {
    NEEDS(cuStreamDestroy, true)
    return closed(stream, "stream");
}
int cuStreamSynchronize(void*) {
    NEEDS(cuStreamSynchronize, true)
    return kSuccess;
}
int cuStreamWaitEvent(void*, void*, unsigned int) {
    NEEDS(cuStreamWaitEvent, true)
    return kSuccess;
}
int cuEventCreate(std::uintptr_t* event, unsigned int flags) {
    NEEDS(cuEventCreate, true)
    return flags > 3 ? kInvalidValue : (*event = opened(0, "event"), kSuccess);
}
int cuEventDestroy_v2(std::uintptr_t event) {
    NEEDS(cuEventDestroy, true)
    return closed(event, "event");
}
int cuEventRecord(void*, void*) {
    NEEDS(cuEventRecord, true)
    return kSuccess;
}
int cuEventSynchronize(void*) {
    NEEDS(cuEventSynchronize, true)
    return kSuccess;
}
int cuEventQuery(void*) {
    NEEDS(cuEventQuery, false)
    return kSuccess;
}

// The driver hands out its functions by name, each in the newest version that the asking side knows.
int cuGetProcAddress_v2(const char* symbol, void** function, int, unsigned long long, int* status) {
    static void* self = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    *function = dlsym(self, (std::string(symbol) + "_v2").c_str());
    if (*function == nullptr) {
        *function = dlsym(self, symbol);
    }
    if (status != nullptr) {
        *status = *function ? 0 : 1;
    }
    return *function ? kSuccess : 500;
}
}
