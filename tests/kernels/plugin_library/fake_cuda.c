// A CUDA driver that does nothing and says what it was asked to, for tests of who asks what in which order.
// Environment: FAKE_CAPABILITY (8.7), FAKE_MULTIPROCESSORS, FAKE_SHARED_BYTES, FAKE_CONTEXT (0: none), FAKE_FAILS (a
// function's name), FAKE_PARAMETER_BYTES (how many bytes of a launch's parameters to print).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int modules = 0;
static int functions = 0;
static char names[256][128];
static unsigned long long context = 0;

static long number(const char* name, long otherwise) {
    const char* text = getenv(name);
    return text == NULL ? otherwise : strtol(text, NULL, 0);
}

static int result_of(const char* function) {
    const char* fails = getenv("FAKE_FAILS");
    return fails != NULL && strcmp(fails, function) == 0 ? 700 : 0;
}

// Called by the tests: another context is current from now on.
void fake_set_context(unsigned long long number) { context = number; }

int cuInit(unsigned flags) {
    (void)flags;
    return result_of("cuInit");
}

int cuGetErrorName(int error, const char** text) {
    *text = error == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : NULL;
    return *text == NULL;
}

int cuCtxGetCurrent(void** current) {
    if (context == 0) {
        context = (unsigned long long)number("FAKE_CONTEXT", 1);
    }
    *current = (void*)context;
    return result_of("cuCtxGetCurrent");
}

int cuCtxSetCurrent(void* wanted) {
    context = (unsigned long long)wanted;
    return result_of("cuCtxSetCurrent");
}

int cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return result_of("cuDeviceGet");
}

int cuDevicePrimaryCtxRetain(void** primary, int device) {
    (void)device;
    *primary = (void*)9;
    return result_of("cuDevicePrimaryCtxRetain");
}

int cuCtxGetId(void* current, unsigned long long* identity) {
    *identity = (unsigned long long)current + 100;
    return 0;
}

int cuCtxGetDevice(int* device) {
    *device = 0;
    return result_of("cuCtxGetDevice");
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
    const char* capability = getenv("FAKE_CAPABILITY");
    int major = 8, minor = 7;
    (void)device;
    if (capability != NULL) {
        sscanf(capability, "%d.%d", &major, &minor);
    }
    switch (attribute) {
        case 75: *value = major; break;
        case 76: *value = minor; break;
        case 16: *value = (int)number("FAKE_MULTIPROCESSORS", 16); break;
        case 97: *value = (int)number("FAKE_SHARED_BYTES", 166912); break;
        default: return 1;
    }
    return result_of("cuDeviceGetAttribute");
}

int cuModuleLoadDataEx(void** module, const void* image, unsigned int count, const int* options, void** values) {
    (void)count;
    (void)options;
    if (result_of("cuModuleLoadDataEx")) {
        strcpy((char*)values[0], "what the compiler said");
        return 700;
    }
    *module = (void*)(long)++modules;
    printf("module %d in context %llu begins %.4s\n", modules, context, (const char*)image);
    return 0;
}

int cuModuleGetFunction(void** function, void* module, const char* name) {
    snprintf(names[functions], sizeof(names[0]), "%s", name);
    *function = (void*)(long)++functions;
    printf("function %s of module %ld\n", name, (long)module);
    return result_of("cuModuleGetFunction");
}

int cuFuncGetAttribute(int* value, int attribute, void* function) {
    (void)function;
    *value = attribute == 1 ? 96 : -1;
    return 0;
}

int cuFuncSetAttribute(void* function, int attribute, int value) {
    printf("attribute %d of %s is %d\n", attribute, names[(long)function - 1], value);
    return result_of("cuFuncSetAttribute");
}

int cuFuncLoad(void* function) {
    (void)function;
    return result_of("cuFuncLoad");
}

int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void* stream, void** parameters, void** extra) {
    const unsigned char* bytes = (const unsigned char*)parameters[0];
    const long count = number("FAKE_PARAMETER_BYTES", 0);
    if (result_of("cuLaunchKernel")) {
        return 700;
    }
    printf("launch %s %u %u %u %u %u %u %u %lu ", names[(long)function - 1], gx, gy, gz, bx, by, bz, shared,
           (unsigned long)stream);
    for (long index = 0; index < count; ++index) {
        printf("%02x", bytes[index]);
    }
    printf("%s\n", extra == NULL ? "" : " extra");
    return 0;
}
