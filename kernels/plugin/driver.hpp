// The CUDA driver, opened when it is first needed: the library also loads where there is none, because a parser that
// only checks a graph needs none, and neither does TensorRT-RTX, which builds on a CPU.
#pragma once

#include <cuda.h>

#include <mutex>
#include <string>

#include "plan.hpp"

namespace edgefer {

class Driver {
public:
    // The driver of this process.
    //
    // Throws Failure: there is none, or it lacks a function.
    static const Driver& get();

    // The context of the calling thread, and a number that no other context of this process has had. A thread that has
    // not used a GPU yet is given the primary context of the first one, as the CUDA runtime does.
    CUcontext context() const;
    unsigned long long identity(CUcontext context) const;

    // The GPU of the calling thread's context.
    Gpu gpu() const;

    // Loads an ELF file, or PTX, which the driver compiles.
    CUmodule load(const void* image, const std::string& name) const;
    // A kernel, loaded now and allowed to ask for `shared_bytes` of dynamic shared memory: neither may be left to the
    // first launch, which may be inside a capture.
    CUfunction function(CUmodule module, const std::string& name, int64_t shared_bytes) const;
    void launch(CUfunction function, const Launch& launch, CUstream stream, void* parameters) const;

private:
    Driver();
    CUcontext primary() const;
    void check(CUresult result, const std::string& doing) const;
    int attribute(CUdevice device, CUdevice_attribute which) const;

    // Spelt out, because cuda.h renames functions from release to release and the name asked for is this one's.
    CUresult (*init_)(unsigned int) = nullptr;
    CUresult (*get_error_name_)(CUresult, const char**) = nullptr;
    CUresult (*ctx_get_current_)(CUcontext*) = nullptr;
    CUresult (*ctx_set_current_)(CUcontext) = nullptr;
    CUresult (*ctx_get_device_)(CUdevice*) = nullptr;
    CUresult (*ctx_get_id_)(CUcontext, unsigned long long*) = nullptr;
    CUresult (*device_get_)(CUdevice*, int) = nullptr;
    CUresult (*device_primary_ctx_retain_)(CUcontext*, CUdevice) = nullptr;
    CUresult (*device_get_attribute_)(int*, CUdevice_attribute, CUdevice) = nullptr;
    CUresult (*module_load_data_ex_)(CUmodule*, const void*, unsigned int, CUjit_option*, void**) = nullptr;
    CUresult (*module_get_function_)(CUfunction*, CUmodule, const char*) = nullptr;
    CUresult (*func_get_attribute_)(int*, CUfunction_attribute, CUfunction) = nullptr;
    CUresult (*func_set_attribute_)(CUfunction, CUfunction_attribute, int) = nullptr;
    CUresult (*func_load_)(CUfunction) = nullptr;
    CUresult (*launch_kernel_)(CUfunction, unsigned int, unsigned int, unsigned int, unsigned int, unsigned int,
                               unsigned int, unsigned int, CUstream, void**, void**) = nullptr;

    mutable std::mutex mutex_;
    mutable CUcontext primary_ = nullptr;
};

}  // namespace edgefer
