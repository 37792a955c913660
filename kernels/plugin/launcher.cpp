#include "launcher.hpp"

#include <map>
#include <mutex>

#include "binaries.hpp"
#include "driver.hpp"

namespace edgefer {
namespace {

// Modules by context. None is unloaded: a context takes its modules along when it ends, and unloading later, when the
// library is closed, would reach into a driver that may be gone.
class Modules {
public:
    CUmodule of(const Driver& driver, unsigned long long context) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = modules_.find(context);
        if (found != modules_.end()) {
            return found->second;
        }
        const Binary& binary = binary_for(driver.gpu(), binaries());
        return modules_[context] = driver.load(binary.image, binary.name);
    }

private:
    std::mutex mutex_;
    std::map<unsigned long long, CUmodule> modules_;
};

Modules& modules() {
    static Modules modules;
    return modules;
}

}  // namespace

Gpu current_gpu() {
    const Driver& driver = Driver::get();
    driver.context();
    return driver.gpu();
}

unsigned long long current_context() {
    const Driver& driver = Driver::get();
    return driver.identity(driver.context());
}

void load_binary() {
    const Driver& driver = Driver::get();
    modules().of(driver, driver.identity(driver.context()));
}

Loaded load(const std::vector<Launch>& launches) {
    const Driver& driver = Driver::get();
    const int64_t shared_bytes = driver.gpu().shared_bytes;
    Loaded loaded{driver.identity(driver.context()), launches, {}};
    const CUmodule module = modules().of(driver, loaded.context);
    for (const Launch& launch : launches) {
        loaded.functions.push_back(driver.function(module, launch.entry, shared_bytes));
    }
    return loaded;
}

void launch(const Loaded& loaded, CUstream stream, void* parameters) {
    const Driver& driver = Driver::get();
    for (std::size_t index = 0; index < loaded.launches.size(); ++index) {
        driver.launch(loaded.functions[index], loaded.launches[index], stream, parameters);
    }
}

}  // namespace edgefer
