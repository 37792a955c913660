#include "driver.hpp"

#include <dlfcn.h>

namespace edgefer {
namespace {

constexpr const char* kLibrary = "libcuda.so.1";

template <class Function>
void find(void* library, const char* name, Function& function, bool required = true) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr && required) {
        throw Failure(std::string(kLibrary) + " has no function " + name + ": a newer driver is needed");
    }
}

}  // namespace

const Driver& Driver::get() {
    // Made again on the next call where it threw: a driver may be installed while a process runs.
    static const Driver driver;
    return driver;
}

Driver::Driver() {
    // Never closed: contexts and modules of the whole process hang on it.
    void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        throw Failure(std::string("no CUDA driver: ") + dlerror());
    }
    find(library, "cuInit", init_);
    find(library, "cuGetErrorName", get_error_name_);
    find(library, "cuCtxGetCurrent", ctx_get_current_);
    find(library, "cuCtxSetCurrent", ctx_set_current_);
    find(library, "cuCtxGetDevice", ctx_get_device_);
    find(library, "cuCtxGetId", ctx_get_id_, false);  // since CUDA 12.0
    find(library, "cuDeviceGet", device_get_);
    find(library, "cuDevicePrimaryCtxRetain", device_primary_ctx_retain_);
    find(library, "cuDeviceGetAttribute", device_get_attribute_);
    find(library, "cuModuleLoadDataEx", module_load_data_ex_);
    find(library, "cuModuleGetFunction", module_get_function_);
    find(library, "cuFuncGetAttribute", func_get_attribute_);
    find(library, "cuFuncSetAttribute", func_set_attribute_);
    find(library, "cuFuncLoad", func_load_, false);  // since CUDA 12.4
    find(library, "cuLaunchKernel", launch_kernel_);
    check(init_(0), "starting the CUDA driver");
}

CUcontext Driver::context() const {
    CUcontext context = nullptr;
    check(ctx_get_current_(&context), "asking for the CUDA context");
    if (context == nullptr) {
        context = primary();
        check(ctx_set_current_(context), "making a CUDA context current");
    }
    return context;
}

CUcontext Driver::primary() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (primary_ == nullptr) {
        CUdevice device = 0;
        check(device_get_(&device, 0), "asking for the first GPU");
        // Never released: modules are loaded into it.
        check(device_primary_ctx_retain_(&primary_, device), "asking for the GPU's primary context");
    }
    return primary_;
}

unsigned long long Driver::identity(CUcontext context) const {
    unsigned long long identity = 0;
    if (ctx_get_id_ != nullptr && ctx_get_id_(context, &identity) == CUDA_SUCCESS) {
        return identity;
    }
    // Drivers before 12.0 do not number contexts.
    return reinterpret_cast<unsigned long long>(context);
}

Gpu Driver::gpu() const {
    CUdevice device = 0;
    check(ctx_get_device_(&device), "asking for the GPU");
    return Gpu{attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
               attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
               attribute(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
               attribute(device, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)};
}

CUmodule Driver::load(const void* image, const std::string& name) const {
    char log[1024] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void* values[] = {log, reinterpret_cast<void*>(sizeof(log))};
    CUmodule module = nullptr;
    const CUresult result = module_load_data_ex_(&module, image, 2, options, values);
    check(result, "loading " + name + (log[0] != '\0' ? " (" + std::string(log) + ")" : ""));
    return module;
}

CUfunction Driver::function(CUmodule module, const std::string& name, int64_t shared_bytes) const {
    CUfunction function = nullptr;
    check(module_get_function_(&function, module, name.c_str()), "looking for the kernel " + name);
    int fixed = 0;
    check(func_get_attribute_(&fixed, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function),
          "asking about the kernel " + name);
    // All that a block may have, not what this plan needs: the function is shared with plans that need more.
    const int most = static_cast<int>(shared_bytes) - fixed;
    check(func_set_attribute_(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, most),
          "giving the kernel " + name + " " + std::to_string(most) + " bytes of shared memory");
    if (func_load_ != nullptr) {
        check(func_load_(function), "loading the kernel " + name);
    }
    return function;
}

void Driver::launch(CUfunction function, const Launch& launch, CUstream stream, void* parameters) const {
    void* arguments[] = {parameters};
    check(launch_kernel_(function, static_cast<unsigned int>(launch.grid[0]), static_cast<unsigned int>(launch.grid[1]),
                         static_cast<unsigned int>(launch.grid[2]), static_cast<unsigned int>(launch.block), 1, 1,
                         static_cast<unsigned int>(launch.shared_bytes), stream, arguments, nullptr),
          "launching " + launch.entry);
}

void Driver::check(CUresult result, const std::string& doing) const {
    if (result == CUDA_SUCCESS) {
        return;
    }
    const char* name = nullptr;
    if (get_error_name_(result, &name) != CUDA_SUCCESS || name == nullptr) {
        name = "unknown error";
    }
    throw Failure(doing + ": " + name + " (" + std::to_string(static_cast<int>(result)) + ")");
}

int Driver::attribute(CUdevice device, CUdevice_attribute which) const {
    int value = 0;
    check(device_get_attribute_(&value, which, device), "asking for an attribute of the GPU");
    return value;
}

}  // namespace edgefer
