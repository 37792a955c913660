// A CUDA driver for tests: GPU memory is the host's, and every kernel computes y = 2 x + bias. It lets the real
// cuda.bindings convert every argument as it would for a GPU. Declarations follow NVIDIA's driver API reference.

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>

namespace {

struct Parameters {
    const float* x;
    float* y;
    void* workspace;
    int count;
    float bias;
};

using Address = unsigned long long;
constexpr int kSuccess = 0, kInvalidValue = 1, kNotFound = 500, kUnsupportedPtx = 222, kNotReady = 600;
int open_things = 0;
int queries = 0;
bool capturing = false;

int opened(void** handle, void* value) {
    *handle = value;
    ++open_things;
    return kSuccess;
}

int closed() {
    --open_things;
    return kSuccess;
}

struct AtExit {
    ~AtExit() { std::fprintf(stderr, "left open: %d\n", open_things); }
} at_exit;

}  // namespace

extern "C" {

int cuInit(unsigned int) { return kSuccess; }
int cuDriverGetVersion(int* version) { return *version = 12060, kSuccess; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, kSuccess; }
int cuDeviceGetCount(int* count) { return *count = 1, kSuccess; }

int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 16: *value = 16; return kSuccess;      // multiprocessors
        case 75: *value = 8; return kSuccess;       // compute capability, major
        case 76: *value = 7; return kSuccess;       // and minor
        case 97: *value = 166912; return kSuccess;  // shared memory of a block, opted in
    }
    return kInvalidValue;
}

int cuDevicePrimaryCtxRetain(void** context, int) { return opened(context, reinterpret_cast<void*>(1)); }
int cuDevicePrimaryCtxRelease_v2(int) { return closed(); }
int cuCtxPushCurrent_v2(void*) { return kSuccess; }
int cuCtxPopCurrent_v2(void** context) { return *context = reinterpret_cast<void*>(1), kSuccess; }
int cuCtxGetDevice(int* device) { return *device = 0, kSuccess; }

// The options are a log and its size, as the class passes them.
int cuModuleLoadDataEx(void** module, const void* image, unsigned int options, int* option, void** value) {
    if (std::strncmp(static_cast<const char*>(image), "cubin", 6) != 0) {
        if (options == 2 && option[0] == 5 && option[1] == 6 && reinterpret_cast<std::size_t>(value[1]) >= 64) {
            std::strcpy(static_cast<char*>(value[0]), "ptxas fatal: a log");
        }
        return kUnsupportedPtx;
    }
    return opened(module, reinterpret_cast<void*>(2));
}
int cuModuleUnload(void*) { return closed(); }
int cuModuleGetFunction(void** function, void*, const char* name) {
    if (std::strncmp(name, "edgefer_", 8) != 0) {
        return kNotFound;
    }
    return *function = reinterpret_cast<void*>(3), kSuccess;
}
int cuFuncSetAttribute(void*, int attribute, int value) {
    return attribute == 8 && value == 166912 ? kSuccess : kInvalidValue;
}
#if !defined(BEFORE_CUDA_12_4)
int cuFuncLoad(void*) { return kSuccess; }
#endif

int cuMemAlloc_v2(Address* address, std::size_t size) {
    ++open_things;
    *address = reinterpret_cast<Address>(std::malloc(size));
    return kSuccess;
}
int cuMemFree_v2(Address address) {
    std::free(reinterpret_cast<void*>(address));
    return closed();
}
int cuMemcpyHtoDAsync_v2(Address to, const void* from, std::size_t size, void*) {
    std::memcpy(reinterpret_cast<void*>(to), from, size);
    return kSuccess;
}
int cuMemcpyDtoHAsync_v2(void* to, Address from, std::size_t size, void*) {
    std::memcpy(to, reinterpret_cast<const void*>(from), size);
    return kSuccess;
}
int cuMemcpyDtoDAsync_v2(Address to, Address from, std::size_t size, void*) {
    std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), size);
    return kSuccess;
}
int cuMemsetD8Async(Address address, unsigned char value, std::size_t size, void*) {
    std::memset(reinterpret_cast<void*>(address), value, size);
    return kSuccess;
}

int cuStreamCreate(void** stream, unsigned int flags) {
    return flags == 1 ? opened(stream, reinterpret_cast<void*>(4)) : kInvalidValue;
}
int cuStreamCreateWithPriority(void** stream, unsigned int flags, int priority) {
    return flags == 1 && priority == -5 ? opened(stream, reinterpret_cast<void*>(8)) : kInvalidValue;
}
int cuCtxGetStreamPriorityRange(int* least, int* greatest) { return *least = 0, *greatest = -5, kSuccess; }
int cuStreamWaitEvent(void*, void* event, unsigned int flags) {
    return event == reinterpret_cast<void*>(7) && flags == 0 ? kSuccess : kInvalidValue;
}
int cuStreamDestroy_v2(void*) { return closed(); }
int cuStreamSynchronize(void*) { return kSuccess; }
int cuStreamBeginCapture_v2(void*, int mode) { return capturing = true, mode == 1 ? kSuccess : kInvalidValue; }
int cuStreamEndCapture(void*, void** graph) {
    capturing = false;
    return opened(graph, reinterpret_cast<void*>(5));
}
int cuGraphInstantiateWithFlags(void** executable, void*, unsigned long long) {
    return opened(executable, reinterpret_cast<void*>(6));
}
int cuGraphLaunch(void*, void*) { return std::fprintf(stderr, "replayed\n"), kSuccess; }
int cuGraphDestroy(void*) { return closed(); }
int cuGraphExecDestroy(void*) { return closed(); }
int cuEventCreate(void** event, unsigned int flags) {
    queries = 0;
    return flags == 0 || flags == 3 ? opened(event, reinterpret_cast<void*>(7)) : kInvalidValue;
}
int cuEventQuery(void*) { return queries++ == 0 ? kNotReady : kSuccess; }
int cuEventDestroy_v2(void*) { return closed(); }
int cuEventRecord(void*, void*) { return kSuccess; }
int cuEventSynchronize(void*) { return kSuccess; }
int cuEventElapsedTime(float* milliseconds, void*, void*) { return *milliseconds = 2.5f, kSuccess; }
int cuEventElapsedTime_v2(float* milliseconds, void*, void*) { return *milliseconds = 2.5f, kSuccess; }

int cuLaunchKernel(void*, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx, unsigned int by,
                   unsigned int bz, unsigned int shared, void*, void** parameters, void**) {
    if (gx != 2 || gy != 3 || gz != 1 || bx != 128 || by != 1 || bz != 1 || shared != 60000) {
        return kInvalidValue;
    }
    if (capturing) {
        return kSuccess;
    }
    const Parameters& p = *static_cast<const Parameters*>(parameters[0]);
    for (int i = 0; i < p.count; ++i) {
        p.y[i] = 2.0f * p.x[i] + p.bias;
    }
    return kSuccess;
}

// The driver hands out its functions by name and by the version that has them.
int cuGetProcAddress_v2(const char* symbol, void** function, int, unsigned long long, int* status) {
    for (const char* version : {"_v2", ""}) {
        *function = dlsym(RTLD_DEFAULT, (std::string(symbol) + version).c_str());
        if (*function == nullptr) {
            void* self = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
            *function = self ? dlsym(self, (std::string(symbol) + version).c_str()) : nullptr;
        }
        if (*function != nullptr) {
            break;
        }
    }
    if (std::strcmp(symbol, "cuGraphInstantiate") == 0) {
        *function = reinterpret_cast<void*>(&cuGraphInstantiateWithFlags);
    }
    if (status != nullptr) {
        *status = *function ? 0 : 1;
    }
    return *function ? kSuccess : kNotFound;
}
}
