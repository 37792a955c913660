// Runs the launcher as a plugin does and leaves the telling to the driver: two plans of one context, then one of
// another.
#include <dlfcn.h>

#include <cstdio>
#include <cstring>

#include "binaries.hpp"
#include "launcher.hpp"

namespace edgefer {

const std::vector<Binary>& binaries() {
    static const std::vector<Binary> all = {
        {"cubin for 8.7", 8, 7, false, true, "ORIN"},           {"cubin for 9.0", 9, 0, false, true, "HOPP"},
        {"cubin for 12.0", 12, 0, false, false, "BLAC"},        {"PTX for 8.0 and later", 8, 0, true, false, "PTX0"},
        {"PTX for 10.0 and later", 10, 0, true, false, "PTXA"},
    };
    return all;
}

}  // namespace edgefer

int main() {
    using namespace edgefer;
    struct {
        const void* x;
        int n;
    } parameters = {reinterpret_cast<const void*>(0x1234), 7};
    const auto stream = reinterpret_cast<CUstream>(5);
    try {
        load_binary();
        const Gpu gpu = current_gpu();
        std::printf("gpu %d.%d %d %lld\n", gpu.major, gpu.minor, gpu.multiprocessors,
                    static_cast<long long>(gpu.shared_bytes));
        const Loaded first = load({{"one", {2, 3, 4}, 256, 1000}, {"two", {5, 1, 1}, 128, 0}});
        launch(first, stream, &parameters);
        const Loaded second = load({{"one", {1, 1, 1}, 32, 48}});
        parameters.n = 9;
        launch(second, stream, &parameters);
        launch(first, stream, &parameters);
        void* driver = dlopen("libcuda.so.1", RTLD_NOW);
        reinterpret_cast<void (*)(unsigned long long)>(dlsym(driver, "fake_set_context"))(2);
        const Loaded elsewhere = load({{"two", {1, 1, 1}, 64, 0}});
        std::printf("contexts %llu %llu %llu\n", first.context, second.context, elsewhere.context);
    } catch (const Failure& failure) {
        std::printf("failure %s\n", failure.what());
        return 1;
    }
    return 0;
}
